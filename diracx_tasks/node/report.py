"""The states of one attempt on their way to the server, in as few requests as possible."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import ApiError
from diracx_tasks.node.halt import Halt, ask

MAX_APPLICATION_STATUS = 255


class Report:
    """Notes states with their times and sends them together; safe to use from several threads."""

    def __init__(self, client: Client, halt: Halt, job_id: int, attempt: int) -> None:
        self._client = client
        self._halt = halt
        self.job = str(job_id)
        self._attempt = attempt
        self._noted: dict[str, dict[str, Any]] = {}
        self._last = datetime.min.replace(tzinfo=UTC)
        self._sending = threading.Lock()

    def note(self, status: str, minor: str, application: str = "", **more: Any) -> str:
        """Remember that the job is in a state since now; the key under which it will be sent."""
        self._last = max(datetime.now(UTC), self._last + timedelta(microseconds=1))
        at = self._last.isoformat(timespec="microseconds").replace("+00:00", "Z")
        self._noted[at] = {
            "Status": status,
            "MinorStatus": minor,
            "ApplicationStatus": application[:MAX_APPLICATION_STATUS],
            "Source": "JobWrapper",
            "Attempt": self._attempt,
            **more,
        }
        return at

    def send(self) -> None:
        """Send what has been noted, if anything; it stays noted when that fails.

        Raises ApiError 409 when the server did not apply it because the attempt is late.
        """
        with self._sending:
            sent = self.noted()
            if not sent:
                return
            answer = self._client.patch("/api/jobs/status", {self.job: sent})
            for at in sent:
                del self._noted[at]
        if refused := (answer or {}).get("failed", {}).get(self.job):
            raise ApiError(409, refused)

    def noted(self) -> dict[str, dict[str, Any]]:
        """What has been noted and not sent, by its times."""
        return dict(self._noted)

    def deliver(self) -> None:
        """Send what has been noted until the server has it; a Done that it refuses becomes a Failed.

        Raises Halted when the attempt is no longer ours, or has to end meanwhile.
        """
        try:
            ask(self.send, self._halt)
        except ApiError as error:
            last = max(self._noted, default="")
            if not last or self._noted[last]["Status"] != "Done":
                raise
            del self._noted[last]
            self.note("Failed", "Uploading Output Data", f"the server refused the outputs: {error}")
            self.deliver()
