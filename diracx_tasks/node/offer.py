"""What the machine of a pilot offers to jobs, as far as it can be found out without privileges."""

import platform
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from diracx_tasks.node import container, gpus
from diracx_tasks.node.gpus import Card, output
from diracx_tasks.node.room import Left, Room, Share

# The x86-64 psABI's microarchitecture levels, in the words of /proc/cpuinfo.
LEVELS = (
    "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3",
    "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave",
    "avx512f avx512bw avx512cd avx512dq avx512vl",
)
# Jobs described in JDL ask for it: not all that take jobs run those.
PAYLOADS = ("payload:jdl",)
# DIRAC's tag of jobs that want a node for themselves.
WHOLE_NODE = "WholeNode"
MEGABYTE = 2**20


def machine() -> dict[str, Any]:
    """Fields of a match request that do not change while a pilot runs; what is not known is not there."""
    library, glibc = platform.libc_ver()
    found = {
        "name": socket.gethostname(),
        "system": platform.system(),
        "glibc": ".".join(glibc.split(".")[:2]) if library == "glibc" else None,
        "user_namespaces": has_user_namespaces(),
        "architecture": platform.machine(),
        "level": level(_flags()) if platform.machine() == "x86_64" else None,
    }
    return {field: value for field, value in found.items() if value}


class Times(NamedTuple):
    """Seconds of wall time, and of CPU time a core, that a job may take; None: no limit."""

    wall: float | None = None
    cpu: float | None = None


@dataclass(frozen=True)
class Slot:
    """What a pilot offers to jobs; `engine` runs containers, '' for none.

    A job may write `disk_mb` and run for `wall_seconds`; 0 is no limit. `cpu_power` is DB12 of a core, 0: not
    known. Of a job, `gpus` are those that it has, and None where there are none at all.
    """

    stamp: str
    site: str
    ce: str
    cores: int
    ram_mb: int
    tags: tuple[str, ...]
    work: Path
    engine: str = ""
    machine: dict[str, Any] = field(default_factory=machine)
    disk_mb: int = 0
    wall_seconds: int = 0
    queue: str = ""
    required_tags: tuple[str, ...] = ()
    cards: Sequence[Card] = ()
    gpus: tuple[str, ...] | None = None
    cpu_power: float = 0.0

    def room(self) -> Room:
        """All that jobs may have of it."""
        free = free_space(self.work)
        return Room(
            self.cores, self.ram_mb, [one.uuid for one in self.cards], min(free, self.disk_mb or free)
        )

    def offer(self, left: Left, times: Times = Times()) -> dict[str, Any]:  # noqa: B008 - it cannot change
        """The body of a request for what is left; {} when no job could have it."""
        tags = {*self.tags, *PAYLOADS, *container.tags(self.engine)}
        if not left.is_all:
            tags.discard(WHOLE_NODE)
        if not left.cores or not left.ram_mb or not tags.issuperset(self.required_tags):
            return {}
        return {
            **self.machine,
            **({**gpus.fields(self.cards), "gpus": left.gpus} if left.gpus else {}),
            **self._times(times),
            "scratch_mb": min(free_space(self.work), left.scratch_mb),
            "stamp": self.stamp,
            "site": self.site,
            "ce": self.ce,
            "queue": self.queue,
            "cores": left.cores,
            "ram_mb": left.ram_mb,
            "platform": node_platform(),
            "tags": sorted(tags),
            "required_tags": list(self.required_tags),
        }

    def of_job(self, share: Share, work: Path, gpus: int = 0) -> "Slot":
        """The part of it that a job has, which works in a folder of its own.

        Of several that run in turn one may want fewer GPUs than another.
        """
        disk = max(share.scratch_mb, int(self.disk_mb * min(1.0, share.cores / self.cores)))
        return replace(
            self,
            work=work,
            cores=share.cores,
            ram_mb=share.most_ram_mb,
            disk_mb=disk if self.disk_mb else 0,
            gpus=share.gpus[:gpus] if self.cards else None,
        )

    def _times(self, times: Times) -> dict[str, int]:
        wall = min(inf if times.wall is None else times.wall, self.wall_seconds or inf)
        cpu = min(inf if times.cpu is None else times.cpu, wall)
        found = {"wall_time": wall, "cpu_time": cpu, "cpu_work": cpu * (self.cpu_power or inf)}
        return {name: max(0, int(value)) for name, value in found.items() if value < inf}


def node_platform() -> str:
    """This node in DIRAC's words, such as `Linux_x86_64_glibc-2.36`."""
    libc = "-".join(filter(None, platform.libc_ver()))
    return "_".join(filter(None, [platform.system(), platform.machine(), libc]))


def free_space(folder: Path) -> int:
    """MB that jobs may write there."""
    return shutil.disk_usage(folder).free // MEGABYTE


def level(flags: set[str]) -> int:
    """The microarchitecture level of an x86-64 processor with these features, from 1 to 4."""
    reached = 1
    for needed in LEVELS:
        if not flags.issuperset(needed.split()):
            break
        reached += 1
    return reached


def has_user_namespaces() -> bool:
    """Whether an ordinary process may make a user namespace, which containers without root need."""
    return output("unshare", "--user", "echo", "yes") == "yes\n"


def _flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    line = next((one for one in text.splitlines() if one.startswith("flags")), "")
    return set(line.partition(":")[2].split())
