"""A job described in JDL on its node, in the steps, words and order of DIRAC's JobWrapper."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from diracx_tasks.core.errors import DiracXError, LoginNeeded
from diracx_tasks.node.command import ILLEGAL, environment, numbered, program
from diracx_tasks.node.jdl_inputs import JdlInputs
from diracx_tasks.node.jdl_outputs import JdlOutputs
from diracx_tasks.node.offer import Slot
from diracx_tasks.node.order import Order, Result
from diracx_tasks.node.refused import Again, Refused, doing
from diracx_tasks.node.report import Report
from diracx_tasks.node.transfer import Transfers

WITH_ERRORS = "Application Finished With Errors"
# DIRAC's EWMSRESC, 1502, of which exit codes keep the last byte.
RESCHEDULE = 1502 & 255
COMPLETING = "Completing"

log = logging.getLogger("diracx.pilot")


class JdlJob:
    """Runs a matched job below the attempt's `beside`; `say` puts a line into its log."""

    def __init__(
        self,
        matched: Mapping[str, Any],
        slot: Slot,
        beside: Path,
        transfers: Transfers,
        *,
        report: Report,
        say: Callable[[str], None],
    ) -> None:
        self._job_id = int(matched["job_id"])
        self._matched = {**matched, "payload": numbered(matched["payload"], self._job_id)}
        self._slot, self._transfers, self._report, self._say = slot, transfers, report, say
        self._beside, self._folder = beside, beside / str(self._job_id)
        self._outputs = JdlOutputs(transfers, report, self._matched, self._folder, self._note)

    def run(self, ran: Callable[[Order], Result]) -> dict[str, Any]:
        """The job's outputs, after `ran` has run its program; an output sandbox is kept in any case.

        Raises Refused, Again when another node may do better, and Halted.
        """
        order = self._order()
        try:
            result = ran(order)
        except Refused:
            self._keep()
            raise
        if not result.is_success:
            raise self._failed(result)
        self._report.note(COMPLETING, "Application Finished Successfully")
        if self._matched["payload"].get("output_sandbox"):
            self._report.note(COMPLETING, "Uploading Output Sandbox")
            doing("Uploading Output Sandbox", self._outputs.keep)
            self._report.note(COMPLETING, "Output Sandbox Uploaded")
        if not self._matched["payload"].get("output_data"):
            return {}
        self._report.note(COMPLETING, "Uploading Output Data")
        stored = doing("Uploading Output Data", self._outputs.store)
        self._report.note(COMPLETING, "Output Data Uploaded")
        return {"OutputData": stored}

    def _order(self) -> Order:
        """What is to run, once everything that it needs is there."""
        temporary = self._beside / "tmp"
        for folder in (self._folder, temporary):
            folder.mkdir()
        payload = self._matched["payload"]
        self._report.note("Running", "Job Initialization")
        try:
            JdlInputs(self._transfers, self._report, self._folder, self._beside, self._say).bring(payload)
        except Refused as refused:
            if refused.is_temporary:
                raise Again(f"{refused.minor}: {refused}") from refused
            raise
        variables = environment(self._matched, self._slot.site, temporary, self._slot.gpus)
        found = doing(ILLEGAL, lambda: program(payload, self._folder, variables))
        return Order.of_program(self._beside, found, self._matched["owner"])

    def _failed(self, result: Result) -> Refused | Again:
        """What follows from a program that has not ended well."""
        if result.exit_code == RESCHEDULE:
            return Again(f"Going to reschedule job: exit code {RESCHEDULE}")
        if result.exit_code is None:
            return Refused("Application thread failed", result.reason)
        self._report.note(COMPLETING, WITH_ERRORS, result.reason)
        self._keep()
        return Refused(WITH_ERRORS, result.reason)

    def _keep(self) -> None:
        """Have the output sandbox of a job that has failed kept; if that does not work, its log says so."""
        try:
            self._outputs.keep()
        except LoginNeeded:
            raise
        except DiracXError as error:
            self._say(f"the output sandbox is not kept: {error}")

    def _note(self, facts: dict[str, str]) -> None:
        """Set parameters of the job: what it would be good to know, but is not worth a failure."""
        with suppress(LoginNeeded):
            try:
                self._transfers.client.patch("/api/jobs/metadata", {str(self._job_id): facts})
            except DiracXError as error:
                log.warning("job %d: its parameters %s are not set: %s", self._job_id, list(facts), error)
