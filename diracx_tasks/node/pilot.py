"""The pilot, `diracx-pilot`: asks for a job, runs it, asks again. It talks HTTP only."""

import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from pathlib import Path
from typing import Any

import click

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import ApiError, DiracXError, LoginNeeded, Unreachable
from diracx_tasks.node import prctl
from diracx_tasks.node.attempt import Attempt, discard, release
from diracx_tasks.node.container import AUTO, ENGINES, NONE, chosen
from diracx_tasks.node.ends import Ends
from diracx_tasks.node.halt import Stop
from diracx_tasks.node.offer import Slot, memory_share
from diracx_tasks.node.zygote import Zygote, ZygoteDied

LONGEST_PAUSE = 60.0
# A node on which nothing can be run must not drain the queue.
MAX_BROKEN = 3
# Of short jobs as many are matched together as run within so many seconds.
AHEAD_SECONDS = 1.0
MOST_AHEAD = 25

log = logging.getLogger("diracx.pilot")


class Pilot:
    """The loop around attempts."""

    def __init__(self, client: Client, slot: Slot, stop: Stop) -> None:
        self._client, self._slot, self._stop = client, slot, stop
        self._zygote = Zygote()
        self._broken = 0
        self._ends = Ends(client, stop)
        # Jobs that were matched and wait until those before them are over.
        self._waiting: deque[dict[str, Any]] = deque()
        # What a job takes, rather too much than too little.
        self._seconds = float("inf")

    def run(self, *, max_jobs: int, idle_seconds: float) -> int:
        """Run jobs until stopped, idle for that long, or done with that many (0: no limit); the exit code."""
        done, idle_since, pause = 0, time.monotonic(), 1.0
        try:
            while not self._stop.is_requested and not (max_jobs and done >= max_jobs):
                answer = self._match(pause, max_jobs - done if max_jobs else MOST_AHEAD)
                if answer["jobs"]:
                    done += self._take_all(answer["jobs"])
                    idle_since, pause = time.monotonic(), 1.0
                if self._broken >= MAX_BROKEN:
                    log.error("%d jobs in a row could not be run here", self._broken)
                    return 1
                if answer["jobs"]:
                    continue
                if idle_seconds and time.monotonic() - idle_since >= idle_seconds:
                    break
                pause = min(pause * 2, LONGEST_PAUSE)
                self._stop.sleep(min(answer["retry_after"], LONGEST_PAUSE, idle_seconds or LONGEST_PAUSE))
        finally:
            self._zygote.close()
        return 0

    def _match(self, pause: float, most: int) -> dict[str, Any]:
        """The server's answer; when it is away, one without jobs that says to wait for `pause`."""
        ahead = AHEAD_SECONDS / max(self._seconds, AHEAD_SECONDS / MOST_AHEAD)
        asked = {"count": max(1, min(most, int(ahead))), "in_turn": True}
        try:
            answer: dict[str, Any] = self._client.post("/api/pilots/match", {**self._slot.offer(), **asked})
        except Unreachable as error:
            log.warning("%s", error)
        except ApiError as error:
            if error.status < 500 and error.status != 429:
                raise
            log.warning("no match: %s", error)
        else:
            return answer
        return {"jobs": [], "retry_after": pause}

    def _take_all(self, jobs: list[dict[str, Any]]) -> int:
        """Run jobs one after the other; how many were run."""
        count = 0
        self._waiting.extend(jobs)
        try:
            while self._broken < MAX_BROKEN and (matched := self._next()):
                count += 1
                started = time.monotonic()
                self._take(matched)
                seconds = time.monotonic() - started
                known = self._seconds if self._seconds < float("inf") else seconds
                self._seconds = max(seconds, (known + seconds) / 2)
        finally:
            self._hurry()
        return count

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
            self._broken = 0 if sent else self._broken + failed
            waiting = [_attempt(matched) for matched in iter(self._next, None)]
            release(self._client, waiting, "an earlier job of the pilot takes long", has_begun=False)
        except LoginNeeded as error:
            log.error("%s", error)

    def _take(self, matched: dict[str, Any]) -> None:
        job_id, number = _attempt(matched)
        if self._stop.is_requested:
            release(self._client, [(job_id, number)], "pilot was stopped", has_begun=False)
            return
        if self._zygote.is_spent:
            self._renew()
        started = time.monotonic()
        try:
            attempt = Attempt(
                self._client,
                self._zygote,
                self._stop,
                matched,
                self._slot,
                ends=self._ends,
                lasts=self._lasts,
            )
            ended = attempt.run()
        except ZygoteDied as error:
            ended = f"given back: {error}"
            self._broken += 1
        except LoginNeeded:
            raise
        except Exception:
            log.exception("job %d (attempt %d): the pilot failed", job_id, number)
            self._renew()
            release(self._client, [(job_id, number)], "the pilot failed; its log has the details")
            ended = "given back"
            self._broken += 1
        log.info("job %d (attempt %d): %s after %.2f s", job_id, number, ended, time.monotonic() - started)

    def _renew(self) -> None:
        self._zygote.close()
        discard(self._slot.work / "bundles")
        self._zygote = Zygote()


def _attempt(matched: dict[str, Any]) -> tuple[int, int]:
    return int(matched["job_id"]), int(matched["attempt"])


@click.command()
@click.option("--url", envvar="DIRACX_URL", help="Base URL of the API.")
@click.option("--site", envvar="DIRACX_SITE", required=True, help="Site for which jobs are asked.")
@click.option("--ce", default="", help="Computing element that has started this pilot.")
@click.option("--queue", default="", help="The computing element's queue.")
@click.option("--cores", default=1, show_default=True, help="Cores of the one slot.")
@click.option("--ram-mb", type=int, help="Memory of the slot [default: the cores' share of the node].")
@click.option("--disk-mb", default=0, help="What a job may write; 0: what is free.")
@click.option("--wall-seconds", default=0, help="How long a job may run; 0: no limit.")
@click.option("--tag", "tags", multiple=True, help="Tag that jobs may require; may be repeated.")
@click.option(
    "--containers",
    envvar="DIRACX_CONTAINERS",
    type=click.Choice([AUTO, NONE, *ENGINES]),
    default=AUTO,
    show_default=True,
    help="What containers run with; auto: the first that works.",
)
@click.option("--work-dir", type=click.Path(path_type=Path, file_okay=False), help="Folder for jobs' files.")
@click.option("--max-jobs", default=0, help="Stop after so many jobs; 0: no limit.")
@click.option("--idle-seconds", envvar="DIRACX_PILOT_IDLE_SECONDS", default=0.0, help="0: idle for ever.")
@click.option("--grace", default=10.0, show_default=True, help="Seconds for the running job after SIGTERM.")
def main(
    *,
    url: str | None,
    site: str,
    ce: str,
    queue: str,
    cores: int,
    ram_mb: int | None,
    disk_mb: int,
    wall_seconds: int,
    tags: tuple[str, ...],
    containers: str,
    work_dir: Path | None,
    max_jobs: int,
    idle_seconds: float,
    grace: float,
) -> None:
    """Run jobs of a DiracX server on this machine, one at a time.

    The token is taken from DIRACX_TOKEN, the pilot's name from DIRACX_PILOT_STAMP.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    stamp = os.environ.get("DIRACX_PILOT_STAMP") or uuid.uuid4().hex
    stop = Stop(grace)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.request())
    if work_dir:
        work_dir.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="pilot-", dir=work_dir)).resolve()
    slot = Slot(
        stamp,
        site,
        ce,
        cores,
        ram_mb or memory_share(cores),
        tags,
        work,
        _engine(containers),
        disk_mb=disk_mb,
        wall_seconds=wall_seconds,
    )
    try:
        client = _client(url)
        sys.exit(Pilot(client, slot, stop).run(max_jobs=max_jobs, idle_seconds=idle_seconds))
    except DiracXError as error:
        log.error("%s", error)
        sys.exit(error.exit_code)
    finally:
        discard(work)


def _engine(wanted: str) -> str:
    engine = chosen(wanted)
    if not engine and wanted not in (AUTO, NONE):
        log.error("%s does not work here: jobs that need a container will not be asked for", wanted)
    return engine


def _client(url: str | None) -> Client:
    if url:
        os.environ["DIRACX_URL"] = url
    # Calls that must not be lost are repeated here, where an order to stop is heard.
    client = Client.from_environment(retries=1)
    # Payloads run as the same user: they must not find the pilot's token.
    os.environ.pop("DIRACX_TOKEN", None)
    prctl.hide_environment()
    return client


if __name__ == "__main__":
    main()
