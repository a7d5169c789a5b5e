"""How long the pilot may still run, and so its jobs: it drains before its time ends."""

import time
from dataclasses import dataclass, field
from math import inf

import psutil

from diracx_tasks.node.offer import Times
from diracx_tasks.node.use import cpu_of

# What is kept of its time for ends that are told and jobs that are given back; DIRAC's StopMargin is 300 s.
MARGIN_SHARE, LEAST_MARGIN, LONGEST_MARGIN = 0.05, 60.0, 300.0
# Of a short time not more than this.
MOST_SHARE = 0.25
# At the end of the margin jobs are given back; to end a payload and to tell it takes some seconds.
LAST_SHARE, LAST_SECONDS = 0.25, 20.0
LOOK_SECONDS = 30.0


@dataclass
class TimeLeft:
    """Seconds of wall time from now on, and of CPU time for each of the cores; inf: no limit.

    Jobs have to be over `margin` seconds before; None is a twentieth, from one minute to five.
    """

    whole: float = inf
    cpu: float = inf
    cores: int = 1
    margin: float | None = None
    _began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """What is left."""
        return min(self.whole - (time.monotonic() - self._began), self._cpu_seconds())

    @property
    def shorter(self) -> float:
        """What there was at the beginning, of the shorter of both times."""
        return min(self.whole, self.cpu)

    @property
    def reserve(self) -> float:
        """The margin in seconds."""
        if self.margin is not None:
            return self.margin
        whole = self.shorter
        wanted = max(LEAST_MARGIN, min(whole * MARGIN_SHARE, LONGEST_MARGIN))
        return 0.0 if whole == inf else min(wanted, whole * MOST_SHARE)

    @property
    def last(self) -> float:
        """Seconds before the end at which running jobs are given back."""
        return min(self.reserve, max(LAST_SECONDS, self.reserve * LAST_SHARE))

    @property
    def is_short(self) -> bool:
        """Whether no job is to begin any more."""
        return self.seconds <= self.reserve

    @property
    def is_over(self) -> bool:
        """Whether the running jobs have to be given back."""
        return self.seconds <= self.last

    def for_jobs(self) -> Times:
        """What a job that begins now may take."""
        wall = self.whole - (time.monotonic() - self._began) - self.reserve
        cpu = self._cpu_seconds() - self.reserve
        return Times(None if wall == inf else max(0.0, wall), None if cpu == inf else max(0.0, cpu))

    def next_look(self) -> float:
        """The time.monotonic() of the next change that time alone makes."""
        left = self.seconds
        if left == inf:
            return inf
        until = left - self.reserve if left > self.reserve else left - self.last
        # CPU time may pass faster than time.
        most = inf if self.cpu == inf else LOOK_SECONDS
        return time.monotonic() + max(0.2, min(until, most))

    def _cpu_seconds(self) -> float:
        return inf if self.cpu == inf else self.cpu - cpu_of(psutil.Process()) / self.cores
