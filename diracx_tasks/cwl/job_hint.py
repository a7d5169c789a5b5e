"""DIRAC's hints about the jobs of a process, in three vocabularies: those in force, and what is wrong there.

`dirac:Job` as in DiracX's draft dirac-1.0 and its issue 858, with fields of ours; `dirac:Scheduling` and
`dirac:ExecutionHooks` of dirac-cwl 1.3.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from cwltool.process import Process

from diracx_tasks.cwl import job_data
from diracx_tasks.cwl.job_data import ENTRIES, Fault
from diracx_tasks.cwl.load import steps
from diracx_tasks.cwl.record import (
    CAPABILITY,
    GLIBC,
    LARGEST,
    MAX_COUNT,
    MAX_KIND,
    MAX_RETRIES,
    InvalidRequirements,
    Record,
)

JOB, SCHEDULING, HOOKS = "Job", "Scheduling", "ExecutionHooks"
# What is no job's: these are told apart from misspelt ones.
OTHERS = ("Workgraph", "Transformation", "Production", "Feeder")
DEFAULT_PRIORITY = 5
MAX_ALTERNATIVES = 8
VERSIONS = ("1.0",)
# DIRAC's own.
LOG_LEVELS = ("TRACE", "DEBUG", "VERBOSE", "INFO", "WARN", "NOTICE", "ERROR", "ALWAYS", "FATAL")

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
# What is said of the job itself.
ABOUT = ("type", "group", "log_level", "retries")
FIELDS: dict[str, dict[str, Any]] = {
    JOB: {
        **ASKED,
        **dict.fromkeys(("class", "schema_version", "priority", "alternatives", *ABOUT)),
        **dict.fromkeys(ENTRIES),
        "requirements_template": {**ASKED, "priority": None, "output_se": None},
    },
    SCHEDULING: dict.fromkeys(("class", "platform", "priority", "sites")),
    HOOKS: {**dict.fromkeys(("class", *job_data.HOOKS)), "configuration": dict.fromkeys(job_data.QUERY)},
}

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
    lambda record: record.one_of("schema_version", VERSIONS),
    lambda record: record.word("type", MAX_KIND),
    lambda record: record.word("group", MAX_KIND),
    lambda record: record.one_of("log_level", LOG_LEVELS),
    lambda record: record.number("retries", most=MAX_RETRIES),
    lambda record: record.names("output_se"),
)
# The namespace need not be declared; dirac-cwl declares its JSON schema as the namespace.
_ours = re.compile(
    r"(?:dirac:|https?://diracgrid\.org/cwl#|.*dirac-metadata\.json#(?:/\$defs/)?)(\w+)"
).fullmatch


def kind(class_or_field: Any) -> str | None:
    """The name of a hint of DIRAC's, such as Job; None for a class or field of somebody else's."""
    found = _ours(str(class_or_field))
    return found[1] if found else None


def in_force(process: Process) -> dict[str, Any]:
    """The hints in force for a process by their names: of each, the one nearest to it counts as a whole."""
    named = ((kind(hint.get("class")), hint) for hint in process.hints or [])
    return {name: hint for name, hint in named if name in FIELDS}


def is_one_job(process: Process) -> bool:
    """Whether `dirac:Job` stands on a process or on its step: a workflow runs inside one job then.

    Not to be asked about what is inside such a workflow, which inherits the hint.
    """
    return JOB in in_force(process)


def job_hint(process: Process) -> dict[str, Any]:
    """What the hints in force say of the job, as the fields of one `dirac:Job`; its own words count first."""
    found = in_force(process)
    job = found.get(JOB, {})
    template = {**_mapping(job, "requirements_template")}
    template.pop("output_se", None)
    return {**found.get(SCHEDULING, {}), **template, **job}


def stated(process: Process) -> Iterator[tuple[Any, int, Process]]:
    """The hints that a process states for itself and for its steps: a list, the place in it, and for what."""
    owners = [(process.tool, process)]
    owners += [(step.tool, step.embedded_tool) for step in steps(process).values()]
    for holder, target in owners:
        hints = holder.get("hints") or []
        yield from ((hints, place, target) for place in range(len(hints)))


def faults(process: Process) -> Iterator[Fault]:
    """What is wrong with the hints that a process states for itself and for its steps.

    Each fault is the mapping or list that holds it, its key there, and words.
    """
    seen = set()
    for hints, place, target in stated(process):
        hint = hints[place]
        name = kind(hint.get("class")) if isinstance(hint, Mapping) else None
        if name is None or name in OTHERS:
            continue
        if name not in FIELDS:
            near = get_close_matches(name, [*FIELDS, *OTHERS], 1)
            advice = f"; is dirac:{near[0]} meant?" if near else ""
            yield hints, place, f"there is no hint dirac:{name}{advice}"
            continue
        if (id(hints), name) in seen:
            yield hints, place, f"dirac:{name} stands here twice"
        seen.add((id(hints), name))
        yield from _unknown(hint, FIELDS[name])
        yield from _of_hooks(hint, target) if name == HOOKS else _of_job(hint, target)


def faults_of(record: Record) -> Iterator[InvalidRequirements]:
    """Everything in a record that cannot be understood."""
    for check in CHECKS:
        try:
            check(record)
        except InvalidRequirements as error:
            yield error


def _of_job(hint: Any, process: Process) -> Iterator[Fault]:
    others = hint.get("alternatives") or [{}]
    if not isinstance(hint.get("requirements_template", {}), Mapping):
        yield hint, "requirements_template", "requirements_template: this is no mapping"
    if not isinstance(others, list) or not all(isinstance(one, Mapping) for one in others):
        yield hint, "alternatives", "alternatives: this is not a list of requirements"
    elif len(others) > MAX_ALTERNATIVES:
        words = f"alternatives: {len(others)}, {MAX_ALTERNATIVES} are the most"
        yield hint, "alternatives", words
    else:
        for other in others:
            yield from _unknown(other, ASKED)
        yield from _wrong(hint, others)
    yield from job_data.faults(hint, process)


def _of_hooks(hint: Any, process: Process) -> Iterator[Fault]:
    if not isinstance(hint.get("configuration", {}), Mapping):
        yield hint, "configuration", "configuration: this is no mapping"
    for field in job_data.QUERY:
        try:
            Record(_mapping(hint, "configuration"), ("configuration",)).word(field)
        except InvalidRequirements as error:
            yield hint["configuration"], field, str(error)
    yield from job_data.hook_faults(hint, process)


def _mapping(hint: Any, field: str) -> Mapping[str, Any]:
    """A field's mapping; an empty one where it is absent, or wrong."""
    found = hint.get(field)
    return found if isinstance(found, Mapping) else {}


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
    template = _mapping(hint, "requirements_template")
    for other in others:
        layers = (other, hint, template)
        for error in faults_of(Record({**template, **hint, **other})):
            holder = next(layer for layer in layers if error.path[0] in layer)
            for step in error.path[:-1]:
                holder = holder[step]
            fault = (holder, error.path[-1], str(error))
            if (name := (id(holder), *fault[1:])) not in seen:
                seen.add(name)
                yield fault
