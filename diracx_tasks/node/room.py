"""What a pilot has left for more jobs beside those that run: cores, memory, GPUs, space for files."""

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Left(NamedTuple):
    """What is left; MB. `is_all`: nothing runs."""

    cores: int
    ram_mb: int
    gpus: int
    scratch_mb: int
    is_all: bool


class Share:
    """The part of a pilot that one job has at a time; `gpus` are devices, `memory_mb` is what it uses now."""

    def __init__(self, room: "Room", left: Left, gpus: tuple[str, ...]) -> None:
        self._room = room
        self.cores, self.ram_mb, self.scratch_mb, self.gpus = left.cores, left.ram_mb, left.scratch_mb, gpus
        self.memory_mb = 0.0

    @property
    def most_ram_mb(self) -> int:
        """Memory that its job may use: what it has asked for, or its cores' part, whichever is more."""
        return max(self.ram_mb, self._room.ram_of(self.cores))

    def crowding(self, memory_mb: float) -> str:
        """Note what its job uses now; why it has to end when all together use more than the pilot has.

        That is the one that is furthest above what it has asked for; '' for the others.
        """
        self.memory_mb = memory_mb
        together = self._room.memory_when_first(self)
        if together is None:
            return ""
        return (
            f"it used {memory_mb:.1f} MB of memory and has asked for {self.ram_mb}; "
            f"all jobs of the pilot used {together:.1f}, {self._room.ram_mb} may be used"
        )

    def forget_memory(self) -> None:
        """Note that nothing of its job runs any more: what it has left is uploaded, which may take long."""
        self.memory_mb = 0.0


class Room:
    """Keeps count of what jobs have of a pilot; for several threads."""

    def __init__(self, cores: int, ram_mb: int, gpus: Iterable[str] = (), scratch_mb: int = 0) -> None:
        self.cores, self.ram_mb, self._scratch_mb = cores, ram_mb, scratch_mb
        self._devices = list(gpus)
        self._shares: list[Share] = []
        self._lock = threading.Lock()
        self._began = self._since = time.monotonic()
        self._core_seconds = 0.0

    def ram_of(self, cores: int) -> int:
        """The part of the memory, in MB, that belongs to so many cores."""
        return int(self.ram_mb * min(1.0, cores / self.cores))

    def left(self) -> Left:
        """What is left now."""
        with self._lock:
            return Left(
                max(0, self.cores - sum(one.cores for one in self._shares)),
                max(0, self.ram_mb - sum(one.ram_mb for one in self._shares)),
                len(self._devices),
                max(0, self._scratch_mb - sum(one.scratch_mb for one in self._shares)),
                not self._shares,
            )

    def take(self, jobs: Iterable[Mapping[str, Any]]) -> Share:
        """The share of matched jobs that run one after the other."""
        asked = list(jobs)

        def most(name: str) -> int:
            return max(int(one.get(name, 0)) for one in asked)

        with self._lock:
            self._count()
            count = most("gpus")
            gpus, self._devices = self._devices[:count], self._devices[count:]
            wanted = Left(most("cores"), most("ram_mb"), len(gpus), most("scratch_mb"), is_all=False)
            self._shares.append(share := Share(self, wanted, tuple(gpus)))
        return share

    def give_back(self, share: Share) -> None:
        """The share's jobs are over."""
        with self._lock:
            self._count()
            self._shares.remove(share)
            self._devices.extend(share.gpus)

    def idle_seconds(self) -> float:
        """How long the cores have had no job so far, on average."""
        with self._lock:
            self._count()
            return self._since - self._began - self._core_seconds / self.cores

    def memory_when_first(self, share: Share) -> float | None:
        """What jobs use together, in MB, when that is too much and this one has to end first; else None."""
        with self._lock:
            together = sum(one.memory_mb for one in self._shares)
            first = max(self._shares, key=lambda one: one.memory_mb - one.ram_mb)
        return together if together > self.ram_mb and first is share else None

    def _count(self) -> None:
        now = time.monotonic()
        used = sum(one.cores for one in self._shares)
        self._core_seconds += min(used, self.cores) * (now - self._since)
        self._since = now
