"""What a payload may use of its node, and which of the limits it has exceeded."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from diracx_tasks.node.offer import MEGABYTE, Slot
from diracx_tasks.node.use import Now

# DIRAC's JobCPULimitMargin, and MinDiskSpace in MB.
CPU_MARGIN = 1.2
LEAST_FREE_MB = 10


class Exceeded(NamedTuple):
    """A limit that was exceeded: DIRAC's minor status, and the numbers."""

    minor: str
    words: str

    @classmethod
    def together(cls, words: str) -> "Exceeded | None":
        """Memory, by all jobs of a pilot; None when there are no words about it."""
        return cls("Job has exceeded maximum memory", words) if words else None


class Limits(NamedTuple):
    """The most that a payload may use; 0 is no limit. Memory and disk in MB, times in s."""

    memory_mb: float = 0
    disk_mb: float = 0
    wall_seconds: float = 0
    cpu_seconds: float = 0

    @classmethod
    def of(cls, matched: Mapping[str, Any], slot: Slot) -> "Limits":
        """Those of a matched job: what its slot has, and the memory and CPU time that its JDL states."""
        payload = matched["payload"]
        memory = min(slot.ram_mb, _number(payload.get("max_ram_mb")) or slot.ram_mb)
        is_free = str(payload.get("disable_cpu_check", "")).lower() not in ("", "0", "false", "no")
        cpu = 0.0 if is_free else _number(payload.get("cpu_seconds")) * CPU_MARGIN * matched["cores"]
        return cls(memory, slot.disk_mb, slot.wall_seconds, cpu)

    def exceeded(self, used: Now, folder: Path) -> Exceeded | None:
        """The first limit that is exceeded; the folder is where the payload writes."""
        measured = (
            ("maximum memory", used.memory_mb, self.memory_mb, "MB of memory"),
            ("maximum disk space", used.disk_mb, self.disk_mb, "MB on disk"),
            ("maximum wall clock time", used.wall_seconds, self.wall_seconds, "s of wall time"),
            ("maximum CPU time limit", used.cpu_seconds, self.cpu_seconds, "s of CPU time"),
        )
        for name, found, most, unit in measured:
            if most and found > most:
                return Exceeded(
                    f"Job has exceeded {name}", f"it used {found:.1f} {unit}, {most:.0f} may be used"
                )
        # A payload may have removed its own folder.
        with suppress(OSError):
            free = shutil.disk_usage(folder).free // MEGABYTE
            if free < LEAST_FREE_MB:
                words = f"{free} MB are free on the node, {LEAST_FREE_MB} are needed"
                return Exceeded("Job has insufficient disk space to continue", words)
        return None


def _number(stated: Any) -> float:
    """A number of the description; 0 for what is none: DIRAC does not check it either."""
    try:
        return max(0.0, float(stated or 0))
    except ValueError:
        return 0.0
