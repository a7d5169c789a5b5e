"""What a process asks of the machine, and what DIRAC is to know of its jobs: one model, whatever the words.

CWL's own requirements and the three vocabularies of DIRAC's hints (`job_hint`) come together here.
"""

import re
from collections.abc import Mapping
from typing import Any

from cwltool.context import RuntimeContext
from cwltool.process import Process

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl import job_data, resources
from diracx_tasks.cwl.job_data import Fault
from diracx_tasks.cwl.job_hint import (
    ABOUT,
    ASKED,
    DEFAULT_PRIORITY,
    HOOKS,
    JOB,
    faults,
    in_force,
    is_one_job,
    job_hint,
)
from diracx_tasks.cwl.record import LARGEST, InvalidRequirements, Record
from diracx_tasks.cwl.resources import is_static

__all__ = [
    "Fault",
    "effective",
    "faults",
    "is_one_job",
    "is_static",
    "job_facts",
    "job_hint",
    "requirements",
]

_END = re.compile("[#/]")


def requirements(process: Process, inputs: dict[str, Any], context: RuntimeContext | None) -> dict[str, Any]:
    """The record of one job that `matching/specification` reads.

    Always `cores`, `ram_mb`, `sites`, `banned_sites`, `platform`, `tags` and `priority`; of the others
    those that are stated. What DIRAC's hint states counts before CWL's own requirements. The same for every
    job of a process that `is_static`, which needs neither inputs nor context.
    """
    record = _record(process, resources.evaluated(process, inputs, context))
    _refuse_excess(_bounded(record, {}))
    return record


def job_facts(process: Process) -> dict[str, Any]:
    """What is stated of a process's jobs besides what they ask of a node; the same for all of them.

    `type`, `group`, `log_level`, `retries` (how often a tool is tried again that fails temporarily), and
    lists: `input_sandbox` of `{source, path?}`, `input_data` of `{source}`, `output_data` of `{source,
    output_path, output_se}`, `output_sandbox` of names of outputs, `output_globs` of patterns of files. A
    source is the name of an input or output of the process, `output_path` an LFN's folder; no name in
    `output_se` leaves the choice to the VO.
    """
    found, hint = in_force(process), _plain(job_hint(process))
    about = {field: hint[field] for field in ABOUT if hint.get(field) is not None}
    return {**about, **job_data.of(found.get(JOB, {}), found.get(HOOKS, {}), process)}


def effective(process: Process) -> dict[str, Any]:
    """All that is in force for a process that is a job, with defaults, in the words of `dirac:Job`.

    Expressions are as they stand.
    """
    asked = _bounded(_record(process, resources.stated(process)), {})
    stated = {name: value for name, value in asked.items() if value not in (None, [])}
    return {"type": "User", **stated, **job_facts(process)}


def _record(process: Process, asked: dict[str, Any]) -> dict[str, Any]:
    hint = _plain(job_hint(process))
    stated = Record(hint)
    container = [resources.CONTAINER] if resources.needs_container(process) else []
    priority = stated.number("priority", -LARGEST)
    record = {
        **resources.record(process, asked),
        **_stated(hint),
        "sites": sorted(stated.names("sites")),
        "banned_sites": sorted(stated.names("banned_sites")),
        "platform": stated.name("platform"),
        "tags": _tags(stated, container),
        "priority": DEFAULT_PRIORITY if priority is None else priority,
    }
    if "cores" in hint and "max_cores" not in hint:
        record.pop("max_cores", None)
    if others := hint.get("alternatives"):
        record["alternatives"] = [_alternative(other, record, container) for other in others]
    return record


def _alternative(hint: Mapping[str, Any], below: Mapping[str, Any], container: list[str]) -> dict[str, Any]:
    found = _bounded(_stated(hint), below)
    # It takes the place of all tags of the job, of which this one is not the user's to give up.
    if "tags" in found and container:
        found["tags"] = _tags(Record(hint), container)
    return found


def _tags(stated: Record, more: list[str]) -> list[str]:
    return sorted({part for item in [*stated.items("tags"), *more] if (part := item.strip())})


def _stated(hint: Mapping[str, Any]) -> dict[str, Any]:
    """What a hint asks of the node, also where it says null; names always as lists."""
    found = {field: hint[field] for field in ASKED if field in hint}
    for field in ("sites", "banned_sites", "grid_ces", "platforms"):
        if field in found:
            found[field] = list(Record(found).names(field))
    return found


def _bounded(record: dict[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """Without a largest number of cores that is less than what is needed: an expression may say so."""
    cores = record.get("cores") or below.get("cores", resources.DEFAULT_CORES)
    most = record.get("max_cores") or below.get("max_cores")
    if most and not isinstance(cores, str) and most < cores:
        record["max_cores"] = None
    return record


def _refuse_excess(record: dict[str, Any]) -> None:
    """Memory for each core that the hint states, of cores that an expression says."""
    for other in record.get("alternatives") or [{}]:
        try:
            Record({**record, **other}).memory()
        except InvalidRequirements as error:
            raise InvalidCwl(str(error)) from error


def _plain(value: Any) -> Any:
    """A value of a document as JSON has it; a number with a fraction, which is a version, as text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(_own(name, inner)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool) or value is None:
        return value
    return int(value) if isinstance(value, int) else str(value)


def _own(field: Any, value: Any) -> Any:
    """CWL takes every `name` in a document for an identifier, and puts the document's address before it."""
    return _END.split(value)[-1] if field == "name" and isinstance(value, str) else value
