"""What a node offers to jobs: typed, in the terms that jobs are compared with."""

import hashlib
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from diracx_tasks.core.errors import BadRequest
from diracx_tasks.cwl.record import MULTI_CORE, processors
from diracx_tasks.matching import grid


@dataclass(frozen=True, slots=True)
class Node:
    """A pilot's slot. Tuples are sorted and without repeats; use `node_of` for values from outside.

    Times in s, RAM and scratch space in MB; glibc 2.34 is 2034, compute capability 8.6 is 806. None
    is no limit in `ram_mb`, times and `cpu_work`, anyone's jobs in `job_types`, `groups` and `owner`, and
    else not known: jobs that ask for it go elsewhere. Nodes that differ in `name` and `queue` only are equal.
    """

    site: str
    ce: str = ""
    name: str = field(default="", compare=False)
    queue: str = field(default="", compare=False)
    _: KW_ONLY
    cores: int
    ram_mb: int | None
    platform: str | None = None
    system: str | None = None
    glibc: int | None = None
    user_namespaces: bool = False
    wall_time: int | None = None
    cpu_time: int | None = None
    cpu_work: int | None = None
    architecture: str | None = None
    level: int | None = None
    gpus: int = 0
    gpu_ram_mb: int | None = None
    gpu_vendor: str | None = None
    capability: int | None = None
    scratch_mb: int | None = None
    lan_mbits: int | None = None
    tags: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()
    job_types: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    owner: str | None = None

    @property
    def offered_tags(self) -> list[str]:
        """Its tags and `MultiProcessor` if it has several cores, sorted; not DIRAC's `<n>Processors`."""
        found = {tag for tag in self.tags if not processors(tag)}
        return sorted(found | {MULTI_CORE} if self.cores > 1 else found)

    def terms(self) -> dict[str, Any]:
        """`{"is", "has", "tags", "requires", "only"}`: what it is known to offer, numbers on the grid."""
        values = {
            "site": self.site,
            "ce": self.ce,
            "platform": self.platform,
            "system": self.system,
            "architecture": self.architecture,
            "gpu_vendor": self.gpu_vendor,
        }
        only = {"type": self.job_types, "group": self.groups, "owner": self.owner and (self.owner,)}
        return {
            "is": {dimension: value for dimension, value in values.items() if value},
            "has": {
                dimension: grid.down(dimension, value)
                for dimension, value in self._numbers()
                if value is not None
            },
            "tags": self.offered_tags,
            "requires": list(self.required_tags),
            "only": {what: list(names) for what, names in only.items() if names is not None},
        }

    def kind(self) -> tuple[str, str]:
        """A hash of what it offers to jobs, and the canonical JSON of its terms."""
        return _kind(self)

    def _numbers(self) -> Iterable[tuple[str, int | None]]:
        level, capability = self.level, self.capability
        return (
            ("cores", self.cores),
            ("ram", _limit(self.ram_mb)),
            ("wall_time", _limit(self.wall_time)),
            ("cpu_time", _limit(self.cpu_time)),
            ("cpu_work", _limit(self.cpu_work)),
            ("glibc", self.glibc),
            ("user_namespaces", 1 if self.user_namespaces else None),
            ("level", level),
            ("level_max", None if level is None else -level),
            ("capability", capability),
            ("capability_max", None if capability is None else -capability),
            ("gpus", self.gpus or None),
            ("gpu_ram", self.gpu_ram_mb),
            ("scratch", self.scratch_mb),
            ("lan", self.lan_mbits),
        )


def node_of(**values: Any) -> Node:
    """A node from values of `Node` with lists in any order and of any kind; raises BadRequest.

    A node may only require of jobs what it offers them: no job could ever run there otherwise.
    """
    for name in ("tags", "required_tags", "job_types", "groups"):
        if values.get(name) is not None:
            values[name] = tuple(sorted(set(values[name])))
    if vendor := values.get("gpu_vendor"):
        values["gpu_vendor"] = vendor.lower()
    node = Node(**values)
    if node.required_tags and (lacking := sorted(set(node.required_tags).difference(_counted(node)))):
        raise BadRequest(f"the node requires tags that it does not offer: {', '.join(lacking)[:200]}")
    return node


# Pilots of one kind ask again and again with the same values.
@lru_cache(maxsize=4096)
def _kind(node: Node) -> tuple[str, str]:
    text = orjson.dumps(node.terms(), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:32], text.decode()


def _counted(node: Node) -> set[str]:
    """What it offers with DIRAC's tags of 1 to 1024 processors."""
    return {*node.offered_tags, *(f"{cores}Processors" for cores in range(1, min(node.cores, 1024) + 1))}


def _limit(value: int | None) -> int:
    return grid.UNLIMITED if value is None else value
