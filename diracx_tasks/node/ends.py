"""Ends of short jobs, told to the server together: one request for many."""

import logging
import threading

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import ApiError
from diracx_tasks.node.halt import Halt, Halted, Stop, ask
from diracx_tasks.node.report import Report

log = logging.getLogger("diracx.pilot")


class Ends:
    """Keeps reports whose last state is an end until they are sent; safe to use from several threads."""

    def __init__(self, client: Client, stop: Stop) -> None:
        self._client, self._stop = client, stop
        self._kept: list[Report] = []
        self._sending = threading.Lock()

    def keep(self, report: Report) -> None:
        """Have an end sent by the next `send`."""
        self._kept.append(report)

    def send(self) -> tuple[int, int]:
        """Send all that is kept until the server has it; how many it has, and how many it does not take."""
        with self._sending:
            reports, self._kept = self._kept, []
            if len(reports) > 1 and (failed := self._sent_together(reports)) is not None:
                return len(reports) - failed, failed
            failed = sum(not self._is_sent_alone(report) for report in reports)
            return len(reports) - failed, failed

    def _sent_together(self, reports: list[Report]) -> int | None:
        """How many were refused; None when the server wants none: one of them is to blame, or the pilot."""
        body = {report.job: report.noted() for report in reports}
        try:
            answer = ask(lambda: self._client.patch("/api/jobs/status", body), Halt(self._stop))
        except ApiError:
            return None
        except Halted as halted:
            log.error("%d ends are not reported: %s", len(reports), halted)
            return len(reports)
        for job, words in answer["failed"].items():
            log.warning("job %s: %s", job, words["detail"])
        return len(answer["failed"])

    def _is_sent_alone(self, report: Report) -> bool:
        try:
            report.deliver()
        except (ApiError, Halted) as error:
            log.warning("job %s: its end is not reported: %s", report.job, error)
            return False
        return True
