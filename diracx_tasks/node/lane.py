"""A lane of a pilot: a thread with a warm process of its own that runs matched jobs one after the other."""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, NamedTuple

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import DiracXError, LoginNeeded
from diracx_tasks.node.attempt import Attempt, discard, release
from diracx_tasks.node.ends import Ends
from diracx_tasks.node.halt import Stop
from diracx_tasks.node.offer import Slot
from diracx_tasks.node.room import Share
from diracx_tasks.node.zygote import Zygote, ZygoteDied

# A node on which nothing can be run must not drain the queue.
MAX_BROKEN = 3

log = logging.getLogger("diracx.pilot")


@dataclass
class Tally:
    """What the jobs of a pilot have come to; all its lanes add to it. `seconds`: how long a job takes.

    That is rather too much than too little, and not known before the first has ended.
    """

    jobs: int = 0
    returned: int = 0
    broken: int = 0
    cpu_seconds: float = 0.0
    seconds: float = float("inf")
    error: DiracXError | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def is_hopeless(self) -> bool:
        """Whether nothing can be run here, or the server does not want this pilot any more."""
        return self.broken >= MAX_BROKEN or self.error is not None

    def ran(self, seconds: float, cpu_seconds: float) -> None:
        """A job was run."""
        with self.lock:
            self.jobs += 1
            self.cpu_seconds += cpu_seconds
            known = self.seconds if self.seconds < float("inf") else seconds
            self.seconds = max(seconds, (known + seconds) / 2)

    def broke(self, count: int = 1) -> None:
        """So many jobs could not be run here, or their ends not be told."""
        with self.lock:
            self.broken += count


class Crew(NamedTuple):
    """What all lanes of a pilot share."""

    client: Client
    stop: Stop
    ends: Ends
    tally: Tally


class Lane:
    """Runs what it is given; `is_over` is called from it when it has done so."""

    def __init__(self, number: int, slot: Slot, crew: Crew, is_over: Callable[["Lane"], None]) -> None:
        self._slot, self._is_over = slot, is_over
        self._client, self._stop, self._ends, self._tally = crew
        self.share: Share | None = None
        self._work = slot.work / f"lane-{number}"
        self._work.mkdir()
        self._given: SimpleQueue[Sequence[dict[str, Any]] | None] = SimpleQueue()
        # Jobs that were matched and wait until those before them are over.
        self._waiting: deque[dict[str, Any]] = deque()
        self._zygote: Zygote | None = None
        self._thread = threading.Thread(target=self._run, name=f"lane {number}", daemon=True)
        self._thread.start()

    def give(self, jobs: Sequence[dict[str, Any]], share: Share) -> None:
        """Have matched jobs run, which use this share of the pilot one after the other."""
        self.share = share
        self._given.put(jobs)

    def close(self) -> None:
        """Let it end once it has run what it was given."""
        self._given.put(None)

    def join(self) -> None:
        """Return when it has ended."""
        self._thread.join()

    def _run(self) -> None:
        try:
            # Made here: the kernel ends it with the thread that has made it.
            self._zygote = Zygote()
        except OSError:
            log.exception("no warm process can be started")
            self._tally.broke(MAX_BROKEN)
        try:
            while (jobs := self._given.get()) is not None:
                try:
                    self._take_all(jobs)
                except DiracXError as error:
                    self._tally.error = error
                except Exception:
                    log.exception("the pilot failed")
                    self._tally.broke()
                finally:
                    self._is_over(self)
        finally:
            if self._zygote:
                self._zygote.close()

    def _take_all(self, jobs: Sequence[dict[str, Any]]) -> None:
        self._waiting.extend(jobs)
        try:
            while not self._tally.is_hopeless and (matched := self._next()):
                self._take(matched)
        finally:
            self._hurry()

    def _next(self) -> dict[str, Any] | None:
        # The watchdog's thread may just have taken the last one.
        with contextlib.suppress(IndexError):
            return self._waiting.popleft()
        return None

    def _lasts(self) -> None:
        """Let nobody wait for a job that takes long; heartbeats go on meanwhile."""
        if self._waiting or self._ends.are_kept:
            threading.Thread(target=self._hurry, name="ends of jobs", daemon=True).start()

    def _hurry(self) -> None:
        """Tell what is over, give back what has not begun."""
        try:
            sent, failed = self._ends.send()
            if sent:
                self._tally.broken = 0
            else:
                self._tally.broke(failed)
            self._return(list(iter(self._next, None)), "an earlier job of the pilot takes long")
        except LoginNeeded as error:
            log.error("%s", error)

    def _return(self, jobs: Sequence[dict[str, Any]], reason: str) -> None:
        with self._tally.lock:
            self._tally.returned += len(jobs)
        release(self._client, [attempt_of(one) for one in jobs], reason, has_begun=False)

    def _take(self, matched: dict[str, Any]) -> None:
        job_id, number = attempt_of(matched)
        if self._stop.is_requested:
            self._return([matched], self._stop.reason)
            return
        started, cpu_seconds = time.monotonic(), 0.0
        try:
            attempt = self._attempt(matched)
            try:
                ended = attempt.run()
            finally:
                cpu_seconds = attempt.cpu_seconds
        except ZygoteDied as error:
            ended = f"given back: {error}"
            self._tally.broke()
        except LoginNeeded:
            raise
        except Exception:
            log.exception("job %d (attempt %d): the pilot failed", job_id, number)
            self._forget()
            release(self._client, [(job_id, number)], "the pilot failed; its log has the details")
            ended = "given back"
            self._tally.broke()
        seconds = time.monotonic() - started
        self._tally.ran(seconds, cpu_seconds)
        log.info("job %d (attempt %d): %s after %.2f s", job_id, number, ended, seconds)

    def _attempt(self, matched: dict[str, Any]) -> Attempt:
        assert self.share is not None
        return Attempt(
            self._client,
            self._warm(),
            self._stop,
            matched,
            self._slot.of_job(self.share, self._work, int(matched.get("gpus", 0))),
            ends=self._ends,
            lasts=self._lasts,
            share=self.share,
        )

    def _warm(self) -> Zygote:
        """The warm process; another one when it has had its time."""
        if self._zygote is None or self._zygote.is_spent:
            self._forget()
            self._zygote = Zygote()
        return self._zygote

    def _forget(self) -> None:
        if self._zygote:
            self._zygote.close()
        self._zygote = None
        discard(self._work / "bundles")


def attempt_of(matched: dict[str, Any]) -> tuple[int, int]:
    """The number of a matched job, and of its attempt."""
    return int(matched["job_id"]), int(matched["attempt"])
