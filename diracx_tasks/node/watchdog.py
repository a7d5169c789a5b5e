"""What the server hears about a running payload, and what it orders: heartbeats from a thread."""

import codecs
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import ApiError, LoginNeeded, Unreachable
from diracx_tasks.node.halt import Cause, Halt
from diracx_tasks.node.report import Report
from diracx_tasks.node.use import Use

FIRST_SECONDS = 1.0
# While somebody follows the payload's output it is sent so often, if there is more of it.
FOLLOWED_SECONDS = 2.5
# After this long without a heartbeat a payload's end is worth one more, with its final CPU time.
STALE_SECONDS = 5.0
MAX_TAIL = 64 * 1024
MB = 1024 * 1024

log = logging.getLogger("diracx.pilot")


class Watchdog(threading.Thread):
    """Beats while its `with` block lasts; orders a halt when the server says that the job is not to go on.

    `lasts` is called after each beat.
    """

    def __init__(
        self,
        client: Client,
        report: Report,
        halt: Halt,
        *,
        job_id: int,
        attempt: int,
        seconds: float,
        log_file: Path,
        lasts: Callable[[], None],
    ) -> None:
        super().__init__(name=f"watchdog of job {job_id}", daemon=True)
        self._client, self._report, self._halt, self._lasts = client, report, halt, lasts
        self._job_id, self._number, self._seconds, self._log_file = job_id, attempt, seconds, log_file
        self._over = threading.Event()
        self._started_at = time.monotonic()
        self._beat_at: float | None = None
        self._is_followed = False
        self._sent: tuple[int, int] | None = None
        self._payload: psutil.Process | None = None
        self._cpu_seconds = self._cpu_before = 0.0
        self.use = Use(log_file.parent)
        self._look_at = 0.0

    def __enter__(self) -> "Watchdog":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        # A request may hang for its whole timeout; the job's end is not to wait for a heartbeat.
        self.join(2)

    def run(self) -> None:
        """Beat until told to end; the states noted so far go first."""
        while not self._over.wait(self._pause()):
            if self._is_followed and not self._is_due():
                self._try(self._show)
            else:
                self._once()
                self._lasts()

    def watch(self, payload: psutil.Process | None, cpu_before: float = 0.0) -> None:
        """Report this process and all below it from now on, and look at what it uses; to be called often.

        `cpu_before` are seconds that it had used for others before.
        """
        self._payload, self._cpu_before = payload, cpu_before
        if payload is not None and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + self.use.look(payload, cpu_before)

    def payload_ended(self, cpu_seconds: float) -> None:
        """Report its final CPU time, at once if it has run for long."""
        self._payload, self._cpu_seconds = None, cpu_seconds
        self.use.end(cpu_seconds)
        if self._beat_at is not None and time.monotonic() - self._beat_at > STALE_SECONDS:
            self._once()

    def last_words(self) -> None:
        """Send the end of a killed payload's log, if the server can be reached."""
        with contextlib.suppress(Unreachable, LoginNeeded, ApiError):
            self._beat()

    def _is_due(self) -> bool:
        return self._beat_at is None or time.monotonic() >= self._beat_at + self._seconds

    def _pause(self) -> float:
        if self._beat_at is None:
            return min(FIRST_SECONDS, self._seconds)
        left = max(0.0, self._beat_at + self._seconds - time.monotonic())
        return min(left, FOLLOWED_SECONDS) if self._is_followed else left

    def _once(self) -> None:
        self._beat_at = time.monotonic()
        self._try(self._report.send, self._beat)

    def _try(self, *sends: Callable[[], None]) -> None:
        try:
            for send in sends:
                send()
        except Unreachable as error:
            log.warning("no heartbeat of job %d: %s", self._job_id, error)
        except LoginNeeded:
            self._halt.order(Cause.LATE)
        except ApiError as error:
            log.warning("job %d: %s", self._job_id, error)
            if error.status in (404, 409):
                self._halt.order(Cause.LATE)

    def _beat(self) -> None:
        self._beat_at = time.monotonic()
        self._send(
            LoadAverage=os.getloadavg()[0],
            WallClockTime=round(time.monotonic() - self._started_at, 3),
            AvailableDiskSpace=psutil.disk_usage(str(self._log_file.parent)).free // MB,
            **self._used(),
        )

    def _show(self) -> None:
        """Send the output alone, if there is more of it."""
        if _version(self._log_file) != self._sent:
            self._send()

    def _send(self, **numbers: Any) -> None:
        sent = _version(self._log_file)
        body = {"Attempt": self._number, "StandardOutput": tail(self._log_file), **numbers}
        answer = self._client.patch("/api/jobs/heartbeat", {str(self._job_id): body}) or []
        self._sent = sent
        orders = {one["command"] for one in answer if int(one["job_id"]) == self._job_id}
        self._is_followed = "Follow" in orders
        if "Kill" in orders:
            self._halt.order(Cause.KILLED)

    def _used(self) -> dict[str, Any]:
        payload = self._payload
        if payload is None:
            return {"MemoryUsed": 0, "Vsize": 0, "CPUConsumed": round(self._cpu_seconds, 2)}
        used = usage(payload)
        used["CPUConsumed"] = round(max(0.0, used["CPUConsumed"] - self._cpu_before), 2)
        self._cpu_seconds = max(self._cpu_seconds, used["CPUConsumed"])
        return used


def usage(top: psutil.Process) -> dict[str, Any]:
    """Memory and address space (MB) of a process and all below it; CPU time (s), of ended ones too."""
    memory, address_space, cpu = 0, 0, 0.0
    with contextlib.suppress(psutil.Error):
        for process in [top, *top.children(recursive=True)]:
            with contextlib.suppress(psutil.Error), process.oneshot():
                times, held = process.cpu_times(), process.memory_info()
                cpu += times.user + times.system + times.children_user + times.children_system
                memory += proportional_memory(process, held.rss)
                address_space += held.vms
    megabytes = {"MemoryUsed": round(memory / MB, 1), "Vsize": round(address_space / MB, 1)}
    return {**megabytes, "CPUConsumed": round(cpu, 2)}


def proportional_memory(process: psutil.Process, resident: int) -> int:
    """Bytes, with shared pages counted in parts; the resident size where that is not known."""
    # The processes of a payload are forks of one big Python: their resident sizes would count it many times.
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return resident


def _version(path: Path) -> tuple[int, int] | None:
    """What differs when a file has been written to; None if there is none."""
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_mtime_ns, found.st_size
    return None


def tail(path: Path, limit: int = MAX_TAIL) -> str:
    """The end of a file as at most `limit` bytes of UTF-8, no character cut; "" if there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            data = file.read(limit)
    except FileNotFoundError:
        return ""
    if size > limit:
        start = next((place for place in range(min(4, len(data))) if data[place] & 0xC0 != 0x80), 0)
        data = data[start:]
    # Not final: a character that is still being written is left for the next time.
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(data)
    # Each wrong byte has become three; what is cut off at the front must not leave half a character.
    return text.encode()[-limit:].decode(errors="ignore")
