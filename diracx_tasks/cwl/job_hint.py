"""DIRAC's hint about the jobs of a process: the one in force, and what is wrong with it."""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from cwltool.process import Process

from diracx_tasks.cwl.record import CAPABILITY, GLIBC, LARGEST, MAX_COUNT, InvalidRequirements, Record

CLASSES = ("dirac:Job", "https://diracgrid.org/cwl#Job", "dirac:Scheduling")
DEFAULT_PRIORITY = 5
MAX_ALTERNATIVES = 8

LIMITS = {"min": None, "max": None}
# What a job may ask of its node; a mapping has these fields of its own.
ASKED: dict[str, Any] = {
    **dict.fromkeys(("cores", "max_cores", "ram_mb", "ram_per_core_mb", "max_ram_mb")),
    **dict.fromkeys(("sites", "banned_sites", "grid_ces", "platform", "platforms", "tags")),
    **dict.fromkeys(("wall_time", "cpu_time", "cpu_work")),
    "system": dict.fromkeys(("name", "glibc", "user_namespaces")),
    "architecture": {"name": None, "level": LIMITS},
    "gpu": {"count": LIMITS, "ram_mb": None, "vendor": None, "compute_capability": LIMITS},
    "io": dict.fromkeys(("scratch_mb", "lan_mbits")),
}
# Fields of upstream's hint that say nothing of the node.
OTHERS = ("class", "schema_version", "type", "group", "log_level", "hooks", "requirements_template")
FILES = ("input_sandbox", "input_data", "output_sandbox", "output_data", "output_paths", "output_se")
KNOWN = {**ASKED, **dict.fromkeys(("priority", "alternatives", *OTHERS, *FILES))}

CHECKS: tuple[Callable[[Record], Any], ...] = (
    Record.cores,
    Record.memory,
    Record.sites,
    lambda record: record.number("priority", -LARGEST),
    lambda record: record.tags("tags"),
    lambda record: record.name("platform"),
    lambda record: record.names("platforms"),
    lambda record: record.names("grid_ces"),
    *(
        lambda record, field=field: record.number(field)
        for field in ("max_ram_mb", "wall_time", "cpu_time", "cpu_work")
    ),
    lambda record: record.part("system").name("name"),
    lambda record: record.part("system").version("glibc", GLIBC),
    lambda record: record.part("system").flag("user_namespaces"),
    lambda record: record.part("architecture").name("name"),
    lambda record: record.part("architecture").limits("level"),
    lambda record: record.part("gpu").limits("count", MAX_COUNT),
    lambda record: record.part("gpu").number("ram_mb"),
    lambda record: record.part("gpu").name("vendor"),
    lambda record: record.part("gpu").versions("compute_capability", CAPABILITY),
    lambda record: record.part("io").number("scratch_mb"),
    lambda record: record.part("io").number("lan_mbits"),
)
# The mapping that holds it, its field there, and words.
Fault = tuple[Any, str, str]


def job_hint(process: Process) -> dict[str, Any] | None:
    """The `dirac:Job` (or older `dirac:Scheduling`) hint in force for a process."""
    found = _in_force(process)
    return None if found is None else dict(found)


def faults(process: Process) -> Iterator[Fault]:
    """What is wrong with the hint in force for a process: the mapping, its field, and words."""
    hint = _in_force(process)
    if hint is None:
        return
    yield from _unknown(hint, KNOWN)
    others = hint.get("alternatives") or [{}]
    if not isinstance(others, list) or not all(isinstance(one, Mapping) for one in others):
        yield hint, "alternatives", "alternatives: this is not a list of requirements"
    elif len(others) > MAX_ALTERNATIVES:
        words = f"alternatives: {len(others)}, {MAX_ALTERNATIVES} are the most"
        yield hint, "alternatives", words
    else:
        for other in others:
            yield from _unknown(other, ASKED)
        yield from _wrong(hint, others)


def faults_of(record: Record) -> Iterator[InvalidRequirements]:
    """Everything in a record that cannot be understood."""
    for check in CHECKS:
        try:
            check(record)
        except InvalidRequirements as error:
            yield error


def _in_force(process: Process) -> Any:
    return next((one for one in reversed(process.hints or []) if one.get("class") in CLASSES), None)


def _unknown(mapping: Any, known: Mapping[str, Any], above: str = "") -> Iterator[Fault]:
    for field, value in mapping.items():
        if field not in known:
            near = get_close_matches(str(field), known, 1)
            advice = f"; is {near[0]} meant?" if near else ""
            yield mapping, field, f"{above}{field}: there is no such field{advice}"
        elif known[field] and isinstance(value, Mapping):
            yield from _unknown(value, known[field], f"{above}{field}.")


def _wrong(hint: Any, others: list[Any]) -> Iterator[Fault]:
    seen = set()
    for other in others:
        for error in faults_of(Record({**hint, **other})):
            holder = other if error.path[0] in other else hint
            for step in error.path[:-1]:
                holder = holder[step]
            fault = (holder, error.path[-1], str(error))
            if (name := (id(holder), *fault[1:])) not in seen:
                seen.add(name)
                yield fault
