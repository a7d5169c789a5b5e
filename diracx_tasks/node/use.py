"""What an attempt uses of its node: CPU and wall time, the peaks of its memory and of its folder.

Memory is what the payload's processes have of their own. The two lowest are forks of the pilot's warm
process: what they share with it is not the payload's.
"""

import contextlib
import json
import os
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

# Left by the payload's own process at its end.
MEASURED = "use.json"
LONGEST_MEASURED = 1000
MOST = 1e12
MB = 1024 * 1024
KB_IN_MB = 1024
FIRST_SECONDS, LONGEST_SECONDS = 0.2, 2.0
# Looking takes 2 % of the time at most, however many processes and files there are.
SHARE = 50
FOLDER_SECONDS = 3.0
TICKS = os.sysconf("SC_CLK_TCK")
# So many pages more or less in memory change nothing worth a look.
SAME_PAGES = 256
# Pages in memory and bytes of its own, by process: a fork has others.
_MINE: dict[int, tuple[int, int]] = {}


class Now(NamedTuple):
    """What a payload has used so far: peaks of memory and disk in MB, times in s."""

    memory_mb: float = 0
    disk_mb: float = 0
    wall_seconds: float = 0
    cpu_seconds: float = 0


class Use:
    """The use of one attempt, looked at again and again while its payload runs; for several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._delay, self._folder_due = FIRST_SECONDS, 0.0
        self._memory, self._disk, self._memory_now = 0, 0, 0
        self._cpu_seconds: float | None = None
        self._cpu_so_far = 0.0
        self._began: float | None = None
        self._wall_seconds = 0.0

    @property
    def now(self) -> Now:
        """What has been seen so far."""
        wall = 0.0 if self._began is None else time.monotonic() - self._began
        with self._lock:
            return Now(self._memory / MB, self._disk / MB, wall, self._cpu_so_far)

    @property
    def memory_now_mb(self) -> float:
        """Memory in use when it was looked at last."""
        return self._memory_now / MB

    def look(self, payload: psutil.Process, cpu_before: float = 0.0) -> float:
        """Note what is used now; after so many seconds it is time to look again.

        `cpu_before` are seconds that its process had used for others before.
        """
        began = time.monotonic()
        self._began = self._began or began
        memory, cpu = memory_of(payload), cpu_of(payload) - cpu_before
        disk = size_of(self._folder) if began >= self._folder_due else 0
        with self._lock:
            self._memory, self._disk = max(self._memory, memory), max(self._disk, disk)
            self._memory_now = memory
            self._cpu_so_far = max(self._cpu_so_far, cpu)
        took = time.monotonic() - began
        if disk:
            self._folder_due = began + max(FOLDER_SECONDS, SHARE * took)
        self._delay = min(self._delay * 1.5, LONGEST_SECONDS)
        return max(self._delay, SHARE * took)

    def end(self, cpu_seconds: float) -> None:
        """The payload has ended, after so much CPU time."""
        if self._began is not None:
            self._wall_seconds = time.monotonic() - self._began
        disk = size_of(self._folder)
        with self._lock:
            self._cpu_seconds, self._disk = cpu_seconds, max(self._disk, disk)
            self._cpu_so_far = max(self._cpu_so_far, cpu_seconds)

    def told(self) -> dict[str, float] | None:
        """What the server is told: seconds, and MB of 1024 * 1024 bytes; None if nothing has run."""
        with self._lock:
            if self._cpu_seconds is None:
                return None
            left = _left(self._folder)
            memory = max(self._memory / MB, left.get("memory_mb", 0.0))
            return {
                "cpu_seconds": round(self._cpu_seconds, 2),
                "wall_seconds": round(left.get("wall_seconds") or self._wall_seconds, 2),
                "memory_mb": round(memory, 1),
                "disk_mb": round(self._disk / MB, 1),
            }


def leave(folder: Path, began: float) -> bool:
    """Write down, in a payload's own process at its end, what nobody may have had the time to look at.

    `began` is the time.monotonic() of its start. False when what it has used would be taken for the use of a
    next payload in this process.
    """
    mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # Linux counts for a program also what the process had that has started it: less than that says nothing.
    memory_mb = max(_of_this_process() / MB, largest / KB_IN_MB if largest > mine else 0.0)
    found = {"wall_seconds": time.monotonic() - began, "memory_mb": memory_mb}
    with contextlib.suppress(OSError):
        (folder / MEASURED).write_text(json.dumps(found))
    return largest <= mine


def _of_this_process() -> int:
    """Bytes that only this process has, of which the kernel takes milliseconds to say how many."""
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    known, found = _MINE.get(os.getpid(), (0, 0))
    if abs(resident - known) > SAME_PAGES:
        found = _memory(os.getpid(), of_its_own=True)
        _MINE[os.getpid()] = (resident, found)
    return found


def memory_of(payload: psutil.Process) -> int:
    """Bytes of memory that the processes of a payload have now; `payload` is the one above them all."""
    runners = children_of(payload.pid)
    total = sum(_memory(pid, of_its_own=True) for pid in [payload.pid, *runners])
    return total + sum(_memory(pid, of_its_own=False) for runner in runners for pid in _below(runner))


def cpu_of(payload: psutil.Process) -> float:
    """Seconds of CPU time that the processes of a payload have used, with those that have ended."""
    return sum(_cpu(pid) for pid in [payload.pid, *_below(payload.pid)])


def size_of(folder: Path) -> int:
    """Bytes that a folder takes on the disk; a file with several names counts once, links to others not."""
    total, seen, above = 0, set[tuple[int, int]](), [str(folder)]
    while above:
        with contextlib.suppress(OSError), os.scandir(above.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        above.append(entry.path)
                        continue
                    if found.st_nlink > 1:
                        if (found.st_dev, found.st_ino) in seen:
                            continue
                        seen.add((found.st_dev, found.st_ino))
                    total += found.st_blocks * 512
    return total


def children_of(pid: int) -> list[int]:
    """The numbers of the processes right below one; none when it has ended."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += map(int, file.read().split())
    except OSError:
        # It has just ended, or this kernel does not say it there: then all processes have to be asked.
        with contextlib.suppress(psutil.Error):
            return [one.pid for one in psutil.Process(pid).children()]
    return found


def _below(pid: int) -> Iterator[int]:
    """The numbers of all processes below one."""
    below = children_of(pid)
    while below:
        yield (found := below.pop())
        below += children_of(found)


def _cpu(pid: int) -> float:
    try:
        # The name in parentheses may hold blanks; of what follows the 12th to 15th are times (proc(5)).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS
    except OSError:
        return 0.0


def _memory(pid: int, *, of_its_own: bool) -> int:
    """Bytes: what only this process has, or that and its part of what it shares."""
    wanted = ("Private_Clean:", "Private_Dirty:") if of_its_own else ("Pss:",)
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        # Another user's, in a container: its resident size is all that is said.
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(pid).memory_info().rss)
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(wanted))


def _left(folder: Path) -> dict[str, float]:
    """What `leave` has left. The payload could write there as well: nothing but sensible numbers counts."""
    with contextlib.suppress(OSError, ValueError), (folder / MEASURED).open("rb") as file:
        found = json.loads(file.read(LONGEST_MEASURED))
        if isinstance(found, dict):
            return {name: one for name, one in found.items() if type(one) is float and 0 <= one < MOST}
    return {}
