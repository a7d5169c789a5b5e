"""A workflow from its file to its outputs: the product's engine on a database, its node on a folder.

Pilots and the tasks' broker are left out: what a pilot is given and what it reports is handed over here.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from diracx_tasks.auth import keys
from diracx_tasks.core.database import reading, session
from diracx_tasks.core.errors import DiracXError, UnsupportedCwl
from diracx_tasks.core.packed import unpacked
from diracx_tasks.core.schema import migrate
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs import claims
from diracx_tasks.jobs import status as door
from diracx_tasks.jobs.states import Status as JobStatus
from diracx_tasks.jobs.tables import Job, Payload
from diracx_tasks.sandboxes import metadata
from diracx_tasks.workflows import collections, submit
from diracx_tasks.workflows.job_inputs import whole_inputs
from diracx_tasks.workflows.look import TASK
from diracx_tasks.workflows.look import bundle as stored_bundle
from diracx_tasks.workflows.states import FINAL, Status
from diracx_tasks.workflows.tables import Workflow
from diracx_tasks.workflows.turn import turn
from tests.builders import a_user, environment
from tests.cwl.bundling import bundled
from tests.cwl.tools import Node, Store, Values, materialized

WAITING = door.Change(JobStatus.WAITING, "Pilot Agent Submission")
RUNNING = door.Change(JobStatus.RUNNING, "Application")
# Every tool is really run, and once.
OPTIONS = submit.Options(reuse=False, retries=0)


@dataclass(frozen=True)
class Ended:
    """How a workflow ended; the outputs' files are on disk."""

    status: str
    outputs: Values | None = None
    reason: str = ""
    kind: str = ""


class Engine:
    """Runs workflows one after the other, with a database and a worker node. For one process at a time."""

    def __init__(self, work: Path, redis: str) -> None:
        self._open = ExitStack()
        stated = {"DIRACX_DATA": str(work), "DIRACX_REDIS_URL": redis, "DIRACX_URL": "http://testserver"}
        self._open.enter_context(environment(**stated))
        keys.create(settings().keys_file)
        migrate()
        self._user = a_user()
        owner = metadata.Owner(self._user.name, self._user.group, self._user.vo)
        # The real store of an embedded installation reads what this one writes.
        self._store = Store(work / "sandboxes", f"sandbox:{owner.prefix}")
        self._node = Node(work / "node", self._store)

    def close(self) -> None:
        """End what runs below."""
        self._node.close()
        self._open.close()

    def run(self, document: str, job: Path | None, out: Path, seconds: float = 60) -> Ended:
        """The end of a workflow that was submitted with all its files; `seconds` is each tool's limit."""
        try:
            bundle, inputs = bundled(document, job)
            workflow_id = self._submit(submit.Request(bundle, inputs, options=OPTIONS))
        except DiracXError as error:
            kind = "unsupported" if isinstance(error, UnsupportedCwl) else "invalid"
            return Ended("Failed", None, str(error), kind)
        while (workflow := self._moved(workflow_id)).status not in FINAL:
            self._run_jobs(workflow, seconds)
        reason = workflow.reason or ""
        if workflow.status != Status.DONE:
            return Ended("Failed", None, reason, "unsupported" if "unsupported: " in reason else "failed")
        with reading() as db:
            outputs = collections.whole(db, workflow_id, unpacked(workflow.outputs or b""))
        return Ended("Done", materialized(outputs, bundle, self._store, out))

    def _submit(self, request: submit.Request) -> int:
        checked = submit.check(request.bundle, request.inputs, by=self._user)
        with session() as db:
            return submit.submit(db, request, checked, by=self._user).workflow_id

    def _moved(self, workflow_id: int) -> Workflow:
        """The workflow, once there is nothing to do before a job ends."""
        turn(workflow_id, 300)
        with reading() as db:
            found = db.get(Workflow, workflow_id)
        assert found is not None
        return found

    def _run_jobs(self, workflow: Workflow, seconds: float) -> None:
        for job_id, work in self._waiting(workflow).items():
            with reading() as db:
                bundle = stored_bundle(db, work.payload["bundle"])
                payload = {**work.payload, "inputs": whole_inputs(db, job_id)}
            result = self._node.run(bundle, payload, seconds)
            change = door.Change(JobStatus.DONE, "Execution Complete", outputs=result.outputs)
            if not result.is_success:
                reason = f"unsupported: {result.reason}" if result.is_unsupported else result.reason
                change = door.Change(
                    JobStatus.FAILED,
                    "Application Finished With Errors",
                    reason,
                    is_temporary=result.is_temporary,
                )
            with session() as db:
                door.move(db, job_id, RUNNING, change, attempt=work.attempt)

    def _waiting(self, workflow: Workflow) -> dict[int, claims.Work]:
        """The workflow's new jobs, given to the pilot."""
        new = select(Job.job_id).join(Payload, Payload.job_id == Job.job_id)
        mine = new.where(Payload.owner_task == TASK, Payload.owner_id == workflow.workflow_id)
        with session() as db:
            jobs = list(db.scalars(mine.where(Job.status == JobStatus.RECEIVED)))
            assert jobs, "nothing is left to do, and the workflow has not ended"
            door.move_many(db, jobs, WAITING, frm=(JobStatus.RECEIVED,))
            given = claims.hold_waiting(db, workflow.vo, jobs)
            claims.give(
                db, {claims.Claim(job, "stamp", "here", "", "node"): one for job, one in given.items()}
            )
        return given
