"""One attempt of a job on this node, from its match to its last report."""

import json
import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import DiracXError, LoginNeeded
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.node.ends import Ends
from diracx_tasks.node.halt import Cause, Halt, Halted, Stop, ask
from diracx_tasks.node.jdl import WITH_ERRORS, JdlJob
from diracx_tasks.node.limits import Exceeded, Limits
from diracx_tasks.node.offer import Slot
from diracx_tasks.node.order import INPUTS, LOG, Exit, Order, Result
from diracx_tasks.node.refused import Again, Refused, doing
from diracx_tasks.node.report import Report
from diracx_tasks.node.room import Share
from diracx_tasks.node.staging import Placing, Staging, StagingError
from diracx_tasks.node.supervisor import GRACE_SECONDS
from diracx_tasks.node.transfer import Transfers
from diracx_tasks.node.watchdog import Watchdog, tail
from diracx_tasks.node.zygote import Zygote, ZygoteDied

# A state of its own for the upload is worth a request only when it lasts.
LONG_UPLOAD = 1024 * 1024
RELEASE_SECONDS = 10

log = logging.getLogger("diracx.pilot")


class Attempt:
    """Runs what the server has matched, in a folder of its own below the slot's `work`.

    Its end is put to `ends`, which somebody has to send. `lasts` is called from another thread when it is
    not over soon.
    """

    def __init__(
        self,
        client: Client,
        zygote: Zygote,
        stop: Stop,
        matched: dict[str, Any],
        slot: Slot,
        *,
        ends: Ends,
        lasts: Callable[[], None],
        share: Share | None = None,
    ) -> None:
        self.job_id, self.number = int(matched["job_id"]), int(matched["attempt"])
        # What is reported of the job belongs to the trace that it came from.
        client = client.traced(matched["payload"].get("trace"))
        self._client, self._zygote, self._matched, self._share = client, zygote, matched, share
        self._stop, self._halt, self._began = stop, Halt(stop), time.monotonic()
        # Seconds of CPU that its payload has used.
        self.cpu_seconds = 0.0
        self._report = Report(client, self._halt, self.job_id, self.number)
        self._slot, self._ends, self._lasts = slot, ends, lasts
        self._bundles = slot.work / "bundles"
        self._folder = slot.work / f"{self.job_id}.{self.number}"
        self._log = self._folder / LOG
        self._staging = Staging(client, self._halt, self.job_id, self.number, self._folder)
        self._limits = Limits.of(matched, slot)
        self._exceeded: Exceeded | None = None

    def run(self) -> str:
        """How it ended, in a word for the pilot's log; ZygoteDied after the job has been given back."""
        if self._folder.exists():
            discard(self._folder)
        self._folder.mkdir(parents=True)
        watchdog = self._watchdog()
        try:
            with watchdog:
                return self._reported(watchdog)
        except Halted as halted:
            self._end_payload()
            if halted.cause is Cause.KILLED:
                watchdog.last_words()
            if halted.cause is not Cause.STOPPED:
                return str(halted.cause.value)
            is_to_blame = time.monotonic() - self._began >= self._stop.spared_seconds
            release(self._client, [(self.job_id, self.number)], self._stop.reason, has_begun=is_to_blame)
            return f"given back: {self._stop.reason}"
        except Again as again:
            release(self._client, [(self.job_id, self.number)], str(again))
            return f"given back: {again}"
        except ZygoteDied as error:
            release(self._client, [(self.job_id, self.number)], str(error))
            raise
        finally:
            self.cpu_seconds = watchdog.use.now.cpu_seconds
            discard(self._folder)

    def _watchdog(self) -> Watchdog:
        return Watchdog(
            self._client,
            self._report,
            self._halt,
            job_id=self.job_id,
            attempt=self.number,
            seconds=float(self._matched["heartbeat_seconds"]),
            log_file=self._log,
            lasts=self._lasts,
        )

    def _reported(self, watchdog: Watchdog) -> str:
        try:
            outputs = self._outputs(watchdog)
        except Refused as refused:
            self._say(str(refused))
            more = {"Temporary": True} if refused.is_temporary else {}
            self._report.note("Failed", refused.minor, str(refused), **self._measured(watchdog), **more)
            self._ends.keep(self._report)
            return f"failed: {refused}"
        self._report.note("Done", "Execution Complete", Outputs=outputs, **self._measured(watchdog))
        self._ends.keep(self._report)
        return "done"

    def _measured(self, watchdog: Watchdog) -> dict[str, Any]:
        return {"StandardOutput": tail(self._log), "Use": watchdog.use.told()}

    def _outputs(self, watchdog: Watchdog) -> Any:
        payload, ran = self._matched["payload"], partial(self._ran, watchdog)
        if payload["kind"] == "jdl":
            transfers = Transfers(self._client, self._halt, self.job_id, self.number)
            job = JdlJob(
                self._matched, self._slot, self._folder, transfers, report=self._report, say=self._say
            )
            return job.run(ran)
        if payload["kind"] != "cwl":
            raise Refused("Application not found", f"unsupported: a {payload['kind']} payload")
        order = doing("Failed Downloading InputSandbox", lambda: self._order(payload))
        try:
            result = ran(order)
        except Refused:
            self._keep(payload)
            raise
        if not result.is_success:
            self._keep(payload)
            reason = f"unsupported: {result.reason}" if result.is_unsupported else result.reason
            raise Refused(WITH_ERRORS, reason, is_temporary=result.is_temporary)
        outputs = result.outputs or {}
        return doing("Uploading Output Data", lambda: self._staging.store(outputs, self._uploading, payload))

    def _ran(self, watchdog: Watchdog, order: Order) -> Result:
        """What an order has come to; Refused for a payload that was ended, above all by its limits."""
        self._report.note("Running", "Application")
        self._zygote.run(order)
        ended = self._wait(watchdog)
        self._halt.check()
        if self._exceeded:
            raise Refused(*self._exceeded)
        if (result := Result.read_from(self._folder)) is None:
            raise Refused(WITH_ERRORS, f"the payload was ended: {_cause(ended)}")
        return result

    def _keep(self, payload: dict[str, Any]) -> None:
        """Have what a failed job leaves for its user kept; if that does not work, its log says so."""
        try:
            self._staging.keep(payload)
        except LoginNeeded:
            raise
        except DiracXError as error:
            self._say(f"the output sandbox is not kept: {error}")

    def _order(self, payload: dict[str, Any]) -> Order:
        bundle_file, names = self._bundle(payload["bundle"])
        bundle_folder = self._bundles / payload["bundle"]
        placing = Placing(self._folder / "inputs", bundle_folder, frozenset(names))
        inputs = self._staging.fetch(self._inputs(payload), placing, self._downloading)
        (self._folder / INPUTS).write_text(json.dumps(inputs))
        return Order(
            folder=str(self._folder),
            entrypoint=payload["entrypoint"],
            bundle_file=str(bundle_file),
            bundle_folder=str(bundle_folder),
            path=payload["path"],
            name=payload["path"] or payload["entrypoint"].partition("#")[0],
            engine=self._slot.engine,
            cores=self._slot.cores,
            ram_mb=self._slot.ram_mb,
            gpus=self._slot.gpus,
            input_sandbox=payload.get("input_sandbox") or [],
            whose="/".join(self._matched[name] for name in ("vo", "group", "owner")),
        )

    def _inputs(self, payload: dict[str, Any]) -> Any:
        if not payload.get("arrays"):
            return payload["inputs"]
        # Long arrays are not in the payload: the server reads them from where they are stored.
        path = f"/api/pilots/jobs/{self.job_id}/inputs"
        return ask(lambda: self._client.get(path, attempt=self.number), self._halt)

    def _bundle(self, wanted: str) -> tuple[Path, list[str]]:
        path, index = self._bundles / f"{wanted}.json", self._bundles / f"{wanted}.names"
        if not index.exists():
            answer = ask(lambda: self._client.get(f"/api/workflows/bundles/{wanted}"), self._halt)
            if Bundle.from_json(answer).hash != wanted:
                raise StagingError(f"bundle {wanted}: the server sent another content")
            self._bundles.mkdir(exist_ok=True)
            path.write_text(json.dumps(answer))
            index.write_text(json.dumps(list(answer["files"])))
        return path, json.loads(index.read_text())

    def _wait(self, watchdog: Watchdog) -> Exit:
        while (ended := self._zygote.wait(0.25)) is None:
            self._halt.check()
            watchdog.watch(self._zygote.payload, self._zygote.cpu_before)
            self._exceeded = self._exceeded or self._limits.exceeded(watchdog.use.now, self._folder)
            if self._share:
                words = self._share.crowding(watchdog.use.memory_now_mb)
                self._exceeded = self._exceeded or Exceeded.together(words)
            if self._exceeded:
                self._zygote.terminate_payload()
        if self._share:
            self._share.forget_memory()
        watchdog.payload_ended(ended.cpu_seconds)
        return ended

    def _end_payload(self) -> None:
        """Return when nothing of the payload runs any more."""
        until = time.monotonic() + 2 * GRACE_SECONDS
        while self._zygote.is_busy and time.monotonic() < until:
            self._zygote.terminate_payload()
            with suppress(ZygoteDied):
                self._zygote.wait(0.25)
        if self._zygote.is_busy:
            self._zygote.close()

    def _downloading(self) -> None:
        self._report.note("Running", "Downloading InputSandbox")

    def _uploading(self, size: int) -> None:
        self._report.note("Completing", "Uploading Output Data")
        if size > LONG_UPLOAD:
            ask(self._report.send, self._halt)

    def _say(self, words: str) -> None:
        with suppress(OSError), self._log.open("a") as file:
            file.write(f"{words}\n")


def release(
    client: Client, attempts: Sequence[tuple[int, int]], reason: str, *, has_begun: bool = True
) -> None:
    """Give jobs back to the queue, if the server can be reached: RELEASE_SECONDS for all of them."""
    stop = Stop(RELEASE_SECONDS)
    stop.request()
    for job_id, attempt in attempts:
        body = {"attempt": attempt, "reason": reason, "has_begun": has_begun}
        try:
            ask(partial(client.post, f"/api/pilots/jobs/{job_id}/release", body), Halt(stop))
        except (Halted, DiracXError) as error:
            log.error("job %d could not be given back: %s", job_id, error)


def discard(folder: Path) -> None:
    """Remove a folder with all that a payload has left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for above, folders, _ in os.walk(folder):
            for path in (os.path.join(above, name) for name in folders):
                if not os.path.islink(path):
                    with suppress(OSError):
                        os.chmod(path, stat.S_IRWXU)
        shutil.rmtree(folder, ignore_errors=True)


def _cause(ended: Exit) -> str:
    return f"signal {ended.code - 128}" if ended.code > 128 else f"exit code {ended.code}"
