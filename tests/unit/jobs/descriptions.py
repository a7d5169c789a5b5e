"""Job descriptions by alice of lhcb, and what becomes of them under limits of her VO's own."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from diracx_tasks.core.operations import Operations
from diracx_tasks.jobs.jdl import InvalidJdl, parse
from diracx_tasks.jobs.manifest import Manifest, describe

TABLE = {
    "x86_64-el10": ["x86_64-el10", "x86_64-el9"],
    "x86_64-el9": ["x86_64-el9", "x86_64-el8"],
    "arm": ["arm"],
}
LIMITS = {
    "DefaultCPUTime": 5000,
    "MinCPUTime": 300,
    "MaxCPUTime": 90_000,
    "DefaultPriority": 2,
    "MinPriority": 1,
    "MaxPriority": 7,
    "MaxInputData": 3,
    "AllowedJobTypes": ["User", "Test"],
}


OPERATIONS = Operations.model_validate({"JobDescription": LIMITS})
USER = {"owner": "alice", "group": "lhcb_user", "vo": "lhcb"}


def described(text: str, platforms: Mapping[str, Collection[str]] | None = None, **options: Any) -> Manifest:
    """The manifest of a description by alice of lhcb; it gets an Executable if it has none."""
    if "Executable" not in text:
        text = f'Executable = "run.sh"; {text}'
    operations = OPERATIONS.model_validate({"JobDescription": LIMITS, **options})
    return describe(parse(text), **USER, operations=operations, platforms=platforms or {})


def refusal(text: str, platforms: Mapping[str, Collection[str]] | None = None) -> str:
    """The words in which a description is refused."""
    with pytest.raises(InvalidJdl) as caught:
        described(text, platforms)
    return str(caught.value)
