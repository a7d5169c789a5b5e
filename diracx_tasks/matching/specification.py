"""What a job asks of the node that runs it: typed, in normal form, and compared with what a node offers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import orjson

from diracx_tasks.cwl.record import CAPABILITY, GLIBC, MAX_COUNT, MULTI_CORE, InvalidRequirements, Record
from diracx_tasks.matching import grid
from diracx_tasks.matching.tags import Tree, demanded

__all__ = ["InvalidRequirements", "Specification", "from_json", "needs_json", "specifications"]

MAX_ALTERNATIVES = 8
DEFAULT_RAM_MB = 256
WHOLE_NODE = "WholeNode"


@dataclass(frozen=True, slots=True)
class Specification:
    """One alternative of a job's requirements: lists sorted, numbers on the grid, None or () no condition.

    Times in s, RAM and scratch space in MB; glibc 2.34 is 2034, compute capability 8.6 is 806.
    """

    cores: int = 1
    max_cores: int | None = None
    ram_mb: int = DEFAULT_RAM_MB
    ram_per_core_mb: int = 0
    sites: tuple[str, ...] = ()
    banned_sites: tuple[str, ...] = ()
    grid_ces: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    system: str | None = None
    glibc: int | None = None
    user_namespaces: bool = False
    wall_time: int | None = None
    cpu_time: int | None = None
    cpu_work: int | None = None
    architecture: str | None = None
    level: int | None = None
    level_max: int | None = None
    gpus: int | None = None
    gpu_ram_mb: int | None = None
    gpu_vendor: str | None = None
    capability: int | None = None
    capability_max: int | None = None
    scratch_mb: int | None = None
    lan_mbits: int | None = None
    tags: Tree | None = None

    @property
    def ram(self) -> int:
        """The least RAM in MB: the constant part and that of the least number of cores."""
        return grid.up("ram", self.ram_mb + self.ram_per_core_mb * self.cores)

    @property
    def is_whole(self) -> bool:
        """Whether it asks for a node of its own."""
        return WHOLE_NODE in demanded(self.tags)

    @property
    def demands(self) -> list[str]:
        """The tags that the job is known by: a pilot with required tags takes jobs with all of them."""
        found = set(demanded(self.tags))
        if self.cores > 1:
            found.add(MULTI_CORE)
        if self.cores > 1 and self.max_cores is None:
            found.add(f"{self.cores}Processors")
        return sorted(found)

    def terms(self) -> dict[str, Any]:
        """`{"one_of", "none_of", "least", "tags", "demands"}`: what is constrained, and always cores and ram.

        A largest level or capability is the least of its negative.
        """
        one_of = {
            "site": self.sites,
            "ce": self.grid_ces,
            "platform": self.platforms,
            "system": _listed(self.system),
            "architecture": _listed(self.architecture),
            "gpu_vendor": _listed(self.gpu_vendor),
        }
        return {
            "one_of": {dimension: list(values) for dimension, values in one_of.items() if values},
            "none_of": list(self.banned_sites),
            "least": {dimension: value for dimension, value in self._least() if value is not None},
            "tags": _nested(self.tags),
            "demands": self.demands,
        }

    def _least(self) -> Iterable[tuple[str, int | None]]:
        return (
            ("cores", self.cores),
            ("ram", self.ram),
            ("wall_time", self.wall_time),
            ("cpu_time", self.cpu_time),
            ("cpu_work", self.cpu_work),
            ("glibc", self.glibc),
            ("user_namespaces", 1 if self.user_namespaces else None),
            ("level", self.level),
            ("level_max", _negative(self.level_max)),
            ("capability", self.capability),
            ("capability_max", _negative(self.capability_max)),
            ("gpus", self.gpus),
            ("gpu_ram", self.gpu_ram_mb),
            ("scratch", self.scratch_mb),
            ("lan", self.lan_mbits),
        )


def specifications(record: Mapping[str, Any]) -> tuple[Specification, ...]:
    """One to eight alternatives of a stored record, sorted, without repeats; any of them will do.

    Raises InvalidRequirements, which names the field.
    """
    try:
        return _specifications(orjson.dumps(record, option=orjson.OPT_SORT_KEYS))
    except orjson.JSONEncodeError as error:
        raise InvalidRequirements(f"the requirements are no JSON: {error}") from error


def needs_json(specs: Iterable[Specification]) -> str:
    """Alternatives as canonical JSON: equal for equal ones in any order."""
    stated = [_stated(one) for one in specs]
    return orjson.dumps(sorted(stated, key=_canonical), option=orjson.OPT_SORT_KEYS).decode()


@lru_cache(maxsize=8192)
def from_json(text: str) -> tuple[Specification, ...]:
    """The alternatives that `needs_json` wrote."""
    return tuple(
        Specification(**{name: _frozen(value) for name, value in one.items()}) for one in orjson.loads(text)
    )


@lru_cache(maxsize=8192)
def _specifications(text: bytes) -> tuple[Specification, ...]:
    record = orjson.loads(text)
    others = record.get("alternatives") or [{}]
    if not isinstance(others, list) or not all(isinstance(one, dict) for one in others):
        raise InvalidRequirements("alternatives: this is not a list of requirements")
    if len(others) > MAX_ALTERNATIVES:
        raise InvalidRequirements(f"alternatives: {len(others)}, {MAX_ALTERNATIVES} are the most")
    found = {_one(Record({**record, **other})) for other in others}
    return tuple(sorted(found, key=lambda one: _canonical(_stated(one))))


def _one(record: Record) -> Specification:
    cores, max_cores, tags = record.cores_and_tags()
    sites, banned_sites = record.sites()
    ram, per_core = record.memory()
    ram = ram if ram is not None else (0 if per_core else DEFAULT_RAM_MB)
    return Specification(
        cores=cores,
        max_cores=max_cores,
        ram_mb=grid.up("ram", ram),
        ram_per_core_mb=grid.up("ram_per_core", per_core),
        tags=tags,
        sites=sites,
        banned_sites=banned_sites,
        grid_ces=record.names("grid_ces"),
        platforms=record.names("platforms") or _listed(record.name("platform")),
        wall_time=_up(record, "wall_time"),
        cpu_time=_up(record, "cpu_time"),
        cpu_work=_up(record, "cpu_work"),
        scratch_mb=_up(io := record.part("io"), "scratch_mb", "scratch"),
        lan_mbits=_up(io, "lan_mbits", "lan"),
        **_kind(record),
        **_gpu(record.part("gpu")),
    )


def _kind(record: Record) -> dict[str, Any]:
    system, architecture = record.part("system"), record.part("architecture")
    least, most = architecture.limits("level")
    return {
        "system": system.name("name"),
        "glibc": system.version("glibc", GLIBC),
        "user_namespaces": system.flag("user_namespaces"),
        "architecture": architecture.name("name"),
        "level": least,
        "level_max": most,
    }


def _gpu(record: Record) -> dict[str, Any]:
    gpus, _ = record.limits("count", MAX_COUNT)
    least, most = record.versions("compute_capability", CAPABILITY)
    if not record.values or gpus == 0:
        return {}
    vendor = record.name("vendor")
    return {
        "gpus": 1 if gpus is None else gpus,
        "gpu_ram_mb": _up(record, "ram_mb", "gpu_ram"),
        "gpu_vendor": vendor.lower() if vendor else None,
        "capability": least,
        "capability_max": most,
    }


def _up(record: Record, field: str, dimension: str = "") -> int | None:
    value = record.number(field)
    return grid.up(dimension or field, value) if value else None


def _stated(spec: Specification) -> dict[str, Any]:
    stated = ((one.name, getattr(spec, one.name), one.default) for one in fields(spec))
    return {name: value for name, value, default in stated if value != default}


def _canonical(stated: dict[str, Any]) -> bytes:
    return orjson.dumps(stated, option=orjson.OPT_SORT_KEYS)


def _listed(value: str | None) -> tuple[str, ...]:
    return (value,) if value else ()


def _negative(value: int | None) -> int | None:
    return None if value is None else -value


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _nested(tree: Any) -> Any:
    return list(map(_nested, tree)) if isinstance(tree, tuple) else tree
