"""What the machine of a pilot offers to jobs, as far as it can be found out without privileges."""

import platform
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from diracx_tasks.node import container

# The x86-64 psABI's microarchitecture levels, in the words of /proc/cpuinfo.
LEVELS = (
    "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3",
    "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave",
    "avx512f avx512bw avx512cd avx512dq avx512vl",
)
MEGABYTE = 2**20
# Jobs described in JDL ask for it: not all that take jobs run those.
PAYLOADS = ("payload:jdl",)
SECONDS = 20
GPUS = ("nvidia-smi", "--query-gpu=memory.total,compute_cap", "--format=csv,noheader,nounits")

_card = re.compile(r"\s*([0-9]+)\s*,\s*([0-9]+\.[0-9]+)\s*").fullmatch


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
        **gpus(_output(*GPUS)),
    }
    return {field: value for field, value in found.items() if value}


@dataclass(frozen=True)
class Slot:
    """What a pilot offers to one job at a time; `engine` runs containers, '' for none.

    A job may write `disk_mb` and run for `wall_seconds`; 0 is no limit.
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

    def offer(self) -> dict[str, Any]:
        """The body of a match request."""
        free = free_space(self.work)
        return {
            **self.machine,
            **({"wall_time": self.wall_seconds} if self.wall_seconds else {}),
            "scratch_mb": min(free, self.disk_mb or free),
            "stamp": self.stamp,
            "site": self.site,
            "ce": self.ce,
            "cores": self.cores,
            "ram_mb": self.ram_mb,
            "platform": node_platform(),
            "tags": sorted({*self.tags, *PAYLOADS, *container.tags(self.engine)}),
            "count": 1,
        }


def node_platform() -> str:
    """This node in DIRAC's words, such as `Linux_x86_64_glibc-2.36`."""
    libc = "-".join(filter(None, platform.libc_ver()))
    return "_".join(filter(None, [platform.system(), platform.machine(), libc]))


def memory_share(cores: int) -> int:
    """This node's memory (MB) for that many of its cores."""
    return int(psutil.virtual_memory().total / (1 << 20) * min(1.0, cores / (psutil.cpu_count() or 1)))


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


def gpus(listed: str) -> dict[str, Any]:
    """The fields about GPUs from a list of memory in MB and capability, a line a card.

    Of different cards each number is the least: a job may get any of them.
    """
    cards = [found for line in listed.splitlines() if (found := _card(line))]
    if not cards:
        return {}
    capability = min((card[2] for card in cards), key=lambda text: [int(part) for part in text.split(".")])
    return {
        "gpus": len(cards),
        "gpu_ram_mb": min(int(card[1]) for card in cards),
        "gpu_vendor": "nvidia",
        "compute_capability": capability,
    }


def has_user_namespaces() -> bool:
    """Whether an ordinary process may make a user namespace, which containers without root need."""
    return _output("unshare", "--user", "echo", "yes") == "yes\n"


def _flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    line = next((one for one in text.splitlines() if one.startswith("flags")), "")
    return set(line.partition(":")[2].split())


def _output(*command: str) -> str:
    """What a command prints; nothing when there is no such command or it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
