"""The pilot keeps its node full: it asks for jobs as long as it has room and time for more."""

import logging
import time
from collections.abc import Sequence
from math import inf
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import ApiError, LoginNeeded, Unreachable
from diracx_tasks.node.attempt import release
from diracx_tasks.node.ends import Ends
from diracx_tasks.node.halt import Stop
from diracx_tasks.node.lane import Crew, Lane, Tally, attempt_of
from diracx_tasks.node.offer import Slot
from diracx_tasks.node.room import Left
from diracx_tasks.node.time_left import TimeLeft

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
# So often at least it is asked for what is left beside running jobs.
LONGEST_BESIDE = 15.0
# Of short jobs as many are matched together as run within so many seconds.
AHEAD_SECONDS = 1.0
MOST_AHEAD = 25

log = logging.getLogger("diracx.pilot")


class Bounds(NamedTuple):
    """When a pilot ends by itself: after so many jobs, so many seconds without any; 0: it does not."""

    jobs: int = 0
    idle_seconds: float = 0.0


class Pilot:
    """The loop around lanes, in one thread. A None put to `woken` has it look at once whether to stop."""

    def __init__(
        self,
        client: Client,
        slot: Slot,
        stop: Stop,
        time_left: TimeLeft,
        woken: "SimpleQueue[Lane | None]",
    ) -> None:
        self._client, self._slot, self._stop, self._time_left = client, slot, stop, time_left
        self.tally = Tally()
        self.room = slot.room()
        self._crew = Crew(client, stop, Ends(client, stop), self.tally)
        self._idle: list[Lane] = []
        self._busy: list[Lane] = []
        self._woken = woken
        self._handed = 0
        self._ask_at, self._pause = 0.0, FIRST_PAUSE
        self._began = self._idle_since = time.monotonic()

    def run(self, bounds: Bounds) -> str:
        """Run jobs until there is a reason to end, which is answered, and all jobs are over.

        Raises what the server has refused this pilot with.
        """
        # It gets warm while the first job is asked for.
        self._idle.append(self._lane())
        try:
            while not (reason := self._reason(bounds)) or self._busy:
                if not reason and time.monotonic() >= self._ask_at and self._fill(bounds):
                    continue
                self._wait(bounds, inf if reason else self._ask_at)
        finally:
            self._close()
        if self.tally.error:
            raise self.tally.error
        return reason

    def account(self) -> str:
        """What it has come to so far."""
        seconds, idle = time.monotonic() - self._began, self.room.idle_seconds()
        counted = f"{self.tally.jobs} jobs, {self.tally.cpu_seconds:.0f} s of CPU time"
        return f"{counted}, cores idle for {idle:.0f} of {seconds:.0f} s"

    def _reason(self, bounds: Bounds) -> str:
        """Why no more jobs are asked for; '' while they are."""
        if self._time_left.is_over and not self._stop.is_due:
            self._stop.end("the pilot's time is over", spared_seconds=self._time_left.shorter / 2)
        if self.tally.is_hopeless:
            return str(self.tally.error or f"{self.tally.broken} jobs in a row could not be run here")
        if self._stop.is_requested:
            return self._stop.reason
        return self._bound(bounds)

    def _bound(self, bounds: Bounds) -> str:
        if bounds.jobs and self._more(bounds) <= 0:
            return f"{bounds.jobs} jobs were all it was to run"
        if self._time_left.is_short:
            return "too little time is left for another job"
        is_idle = bounds.idle_seconds and not self._busy
        if is_idle and time.monotonic() - self._idle_since >= bounds.idle_seconds:
            return f"no job for {bounds.idle_seconds:g} s"
        return ""

    def _more(self, bounds: Bounds) -> int:
        return bounds.jobs - self._handed + self.tally.returned

    def _fill(self, bounds: Bounds) -> bool:
        """Ask for jobs for what is left, and have them run; False when there are none now."""
        left = self.room.left()
        most = self._more(bounds) if bounds.jobs else MOST_AHEAD
        # As many as run soon, one after the other; of longer ones, as many as there are cores for.
        ahead = int(AHEAD_SECONDS / max(self.tally.seconds, AHEAD_SECONDS / MOST_AHEAD))
        is_in_turn = ahead > 1 or left.cores == 1
        asked = {"count": max(1, min(most, ahead if is_in_turn else left.cores, MOST_AHEAD))}
        offered = self._slot.offer(left, self._time_left.for_jobs())
        jobs = self._match({**offered, **asked, "in_turn": is_in_turn}, left) if offered else []
        if not jobs:
            if not offered:
                self._ask_at = inf
            return False
        self._ask_at, self._pause = 0.0, FIRST_PAUSE
        for some in [jobs] if is_in_turn else [[one] for one in jobs]:
            self._hand(some)
        return True

    def _hand(self, jobs: Sequence[dict[str, Any]]) -> None:
        try:
            # The last one first: what is warm there may still be of use.
            lane = self._idle.pop() if self._idle else self._lane()
        except (OSError, RuntimeError) as error:
            # There is no space for a folder, or there may be no more threads: those that run go on.
            log.error("no more jobs can be run at once: %s", error)
            self.tally.broke()
            release(self._client, [attempt_of(one) for one in jobs], str(error), has_begun=False)
            self._put_off(LONGEST_PAUSE)
            return
        self._busy.append(lane)
        self._handed += len(jobs)
        lane.give(jobs, self.room.take(jobs))

    def _match(self, asked: dict[str, Any], left: Left) -> list[dict[str, Any]]:
        """The server's jobs; none when it is away."""
        try:
            answer: dict[str, Any] = self._client.post("/api/pilots/match", asked)
        except Unreachable as error:
            log.warning("%s", error)
            self._put_off(self._pause)
        except LoginNeeded as error:
            self.tally.error = error
        except ApiError as error:
            if error.status >= 500 or error.status == 429:
                log.warning("no match: %s", error)
                self._put_off(self._pause)
            else:
                self.tally.error = error
        else:
            # What is left beside running jobs may not be enough for any: nobody else waits for that.
            beside = 0.0 if left.is_all else min(self._pause, LONGEST_BESIDE)
            self._put_off(max(answer["retry_after"], beside))
            jobs: list[dict[str, Any]] = answer["jobs"]
            return jobs
        return []

    def _put_off(self, seconds: float) -> None:
        self._ask_at = time.monotonic() + min(seconds, LONGEST_PAUSE)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _wait(self, bounds: Bounds, ask_at: float) -> None:
        """Until it is time to ask or to end, or a lane is free."""
        now, is_idle = time.monotonic(), bounds.idle_seconds and not self._busy
        ends_at = self._idle_since + bounds.idle_seconds if is_idle else inf
        until = min(ask_at, self._time_left.next_look(), ends_at, now + LONGEST_PAUSE)
        try:
            self._free(self._woken.get(timeout=max(0.0, until - now)))
            while True:
                self._free(self._woken.get_nowait())
        except Empty:
            return

    def _free(self, lane: Lane | None) -> None:
        if lane is None:
            return
        assert lane.share is not None
        self.room.give_back(lane.share)
        self._busy.remove(lane)
        self._idle.append(lane)
        # There is more room than when the server was asked last.
        self._ask_at, self._pause = 0.0, FIRST_PAUSE
        self._idle_since = time.monotonic()

    def _lane(self) -> Lane:
        return Lane(len(self._idle) + len(self._busy), self._slot, self._crew, self._woken.put)

    def _close(self) -> None:
        for lane in (*self._idle, *self._busy):
            lane.close()
        for lane in (*self._idle, *self._busy):
            lane.join()
