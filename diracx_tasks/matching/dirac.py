"""The description that DIRAC's pilots send of their slot, as a node."""

import re
from collections.abc import Mapping
from typing import Any

from diracx_tasks.core.errors import BadRequest
from diracx_tasks.matching.node import Node, node_of
from diracx_tasks.matching.specification import WHOLE_NODE

# DIRAC's matcher takes it, in any case and with any punctuation, for no condition.
_is_any = re.compile(r"\W*any\W*", re.IGNORECASE).fullmatch
_whole = re.compile("[0-9]{1,15}").fullmatch


def node_of_description(description: Mapping[str, Any]) -> Node:
    """The node of a DIRAC resource description; numbers may be texts, lists texts with commas.

    As in DIRAC's matcher: `Site` and `CPUTime` must be there, without `NumberOfProcessors` it has one,
    without `MaxRAM` it takes jobs of any memory, and what the matcher does not know does not count. Unlike
    there, one without `Platform` gets no job that asks for one. Raises BadRequest, which names the field.
    """
    if "JobID" in description:
        raise BadRequest("JobID: a pilot gets the job whose turn it is, not one that it names")
    tags = _names(description, "Tag") or []
    return node_of(
        site=_text(description, "Site", is_needed=True),
        ce=_text(description, "GridCE"),
        queue=_text(description, "Queue"),
        cores=_number(description, "NumberOfProcessors") or 1,
        ram_mb=_number(description, "MaxRAM") or None,
        platform=_text(description, "Platform") or _text(description, "Architecture") or None,
        cpu_time=_number(description, "CPUTime", is_needed=True),
        gpus=_number(description, "NumberOfGPUs") or 0,
        tags=[*tags, WHOLE_NODE] if "WholeNode" in description else tags,
        required_tags=_names(description, "RequiredTag") or [],
        job_types=_names(description, "JobType"),
        groups=_names(description, "OwnerGroup"),
        owner=_text(description, "Owner") or None,
    )


def _number(description: Mapping[str, Any], name: str, is_needed: bool = False) -> int | None:
    value = description.get(name)
    if value is None:
        if is_needed:
            raise BadRequest(_lacks(name))
        return None
    if _whole(str(value)) is None:
        raise BadRequest(f"{name}: {str(value)[:40]!r} is no whole number")
    return int(value)


def _text(description: Mapping[str, Any], name: str, is_needed: bool = False) -> str:
    value = description.get(name) or ""
    if not isinstance(value, str):
        raise BadRequest(f"{name}: {str(value)[:40]!r} is not a name")
    if is_needed and not value.strip():
        raise BadRequest(_lacks(name))
    return value.strip()


def _names(description: Mapping[str, Any], name: str) -> list[str] | None:
    """The names of a list or of a text with commas; None: there are none, or one of them is Any."""
    value = description.get(name) or []
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple | set) or not all(isinstance(item, str) for item in items):
        raise BadRequest(f"{name}: this is not a list of names")
    found = [item.strip() for item in items if item.strip()]
    return None if not found or any(map(_is_any, found)) else found


def _lacks(name: str) -> str:
    return f"{name}: the description of a slot must state it"
