"""The input data of a job that runs a tool: the LFNs of the inputs that its hint names."""

from collections.abc import Iterator, Mapping
from typing import Any

from diracx_tasks.cwl.values import locations


def stated(facts: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """The LFNs, each once and without its scheme; `facts` are what is said of the tool."""
    named = [inputs.get(one["source"]) for one in facts.get("input_data", ())]
    found = dict.fromkeys(lfn for lfn in _texts(named) if lfn.lower().startswith("lfn:"))
    return [f"/{lfn[4:].lstrip('/')}" for lfn in found]


def _texts(value: Any) -> Iterator[str]:
    """Locations of files, and values that are texts themselves."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        yield from locations(value)
