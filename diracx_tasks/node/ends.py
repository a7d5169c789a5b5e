"""Ends of short jobs, told to the server together: one request for many."""

import logging
import threading
from collections import deque

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import ApiError, Unreachable
from diracx_tasks.node.halt import Halt, Halted, Stop, ask
from diracx_tasks.node.report import Report

log = logging.getLogger("diracx.pilot")


class Ends:
    """Keeps reports whose last state is an end until they are sent; any thread may do either."""

    def __init__(self, client: Client, stop: Stop) -> None:
        self._client, self._stop = client, stop
        self._kept: deque[Report] = deque()
        self._sending = threading.Lock()

    @property
    def are_kept(self) -> bool:
        """Whether there is something to send."""
        return bool(self._kept)

    def keep(self, report: Report) -> None:
        """Have an end sent by the next `send`."""
        self._kept.append(report)

    def send(self) -> tuple[int, int]:
        """Send all that is kept until the server answers; how many it has judged, and how many it has not.

        What it refuses, because the attempt is over, is in the log.
        """
        with self._sending:
            # Others may be kept meanwhile: they go next time.
            reports = [self._kept.popleft() for _ in range(len(self._kept))]
            alone = self._refused(reports) if len(reports) > 1 else reports
            failed = sum(not self._is_judged(report) for report in alone)
            return len(reports) - failed, failed

    def _refused(self, reports: list[Report]) -> list[Report]:
        """Those of several that have to be sent once more, alone: the server says then what is wrong."""
        body = {report.job: report.noted() for report in reports}
        try:
            if self._stop.is_due:
                answer = self._client.patch("/api/jobs/status", body)
            else:
                answer = ask(lambda: self._client.patch("/api/jobs/status", body), Halt(self._stop))
        except (ApiError, Unreachable, Halted) as error:
            log.warning("%d ends are not taken together: %s", len(reports), error)
            return reports
        return [report for report in reports if report.job in answer["failed"]]

    def _is_judged(self, report: Report) -> bool:
        try:
            if self._stop.is_due:
                report.send()
            else:
                report.deliver()
        except Halted as halted:
            log.warning("job %s: %s", report.job, halted)
        except (ApiError, Unreachable) as error:
            log.warning("job %s: its end is not reported: %s", report.job, error)
            return False
        return True
