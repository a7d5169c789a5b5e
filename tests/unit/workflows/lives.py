"""Workflows from their submission to their end, with pilots that only say what each job gives."""

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import reading, session
from diracx_tasks.core.packed import unpacked
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.jobs import claims
from diracx_tasks.jobs.finish import finish
from diracx_tasks.jobs.heartbeat import Report
from diracx_tasks.jobs.optimize import optimize
from diracx_tasks.jobs.states import Status as JobStatus
from diracx_tasks.jobs.status import Change
from diracx_tasks.jobs.tables import Job, Payload
from diracx_tasks.workflows import collections, submit
from diracx_tasks.workflows.states import FINAL, Status
from diracx_tasks.workflows.submit import Options
from diracx_tasks.workflows.tables import Node, Workflow
from diracx_tasks.workflows.turn import turn
from tests.builders import VO, a_pilot, a_user

Values = dict[str, Any]
# What a job with a path and inputs gives; an exception is its failure.
Answer = Callable[[str, Values], Values]


class Temporary(Exception):
    """A failure after which trying again may help."""


def begun(text: str, inputs: Values, options: Options = submit.DEFAULTS, **files: str) -> int:
    """The number of a workflow that has been submitted; `__` in a file's name is its dot."""
    contents = {"main.cwl": text, **{name.replace("__", "."): text for name, text in files.items()}}
    bundle = Bundle.of({name: text.encode() for name, text in contents.items()}, "main.cwl")
    request = submit.Request(bundle, inputs, options=options)
    checked = submit.check(bundle, inputs, by=a_user())
    with session() as db:
        return submit.submit(db, request, checked, by=a_user()).workflow_id


def moved(workflow_id: int) -> str:
    """The status of a workflow after everything has happened that can."""
    turn(workflow_id, 60)
    return the(workflow_id).status


def the(workflow_id: int) -> Workflow:
    """A workflow as it is."""
    with reading() as db:
        return db.get_one(Workflow, workflow_id)


def outputs(workflow_id: int) -> Values:
    """The outputs of a workflow, long arrays among them."""
    with reading() as db:
        stored = db.get_one(Workflow, workflow_id).outputs
        found: Values = collections.whole(db, workflow_id, unpacked(stored)) if stored else {}
    return found


def nodes(workflow_id: int, **conditions: Any) -> list[Node]:
    """The nodes of a workflow."""
    with reading() as db:
        query = select(Node).where(Node.workflow_id == workflow_id).filter_by(**conditions)
        return list(db.scalars(query.order_by(Node.path, Node.slot)))


def ended(workflow_id: int, answer: Answer) -> str:
    """The status of a workflow at its end, each job having given what `answer` says."""
    while moved(workflow_id) not in FINAL:
        assert done(workflow_id, answer), "the workflow neither goes on nor has jobs"
    return the(workflow_id).status


def done(workflow_id: int, answer: Answer, most: int = 5000) -> int:
    """How many jobs of a workflow have been matched and ended."""
    with session() as db:
        while optimize(db):
            pass
        mine = select(Job.job_id).join(Payload, Payload.job_id == Job.job_id)
        waiting = mine.where(Payload.owner_id == workflow_id, Job.status == JobStatus.WAITING)
        held = claims.hold_waiting(db, VO, list(db.scalars(waiting.limit(most))))
        claims.give(
            db, {claims.Claim(one, "stamp-1", "site", "ce", "node"): work for one, work in held.items()}
        )
        ends = {
            job_id: Report(work.attempt, _end(answer, work.payload["path"], _inputs(db, workflow_id, work)))
            for job_id, work in held.items()
        }
        ended, refused = finish(db, ends, by=a_pilot())
        assert (len(ended), refused) == (len(held), {})
        return len(held)


def _inputs(db: Session, workflow_id: int, work: claims.Work) -> Values:
    found: Values = collections.whole(db, workflow_id, work.payload["inputs"])
    return found


def _end(answer: Answer, path: str, inputs: Values) -> Change:
    try:
        return Change(JobStatus.DONE, "Execution Complete", outputs=answer(path, inputs))
    except Exception as error:
        is_temporary = isinstance(error, Temporary)
        return Change(JobStatus.FAILED, "Application", str(error), is_temporary=is_temporary)


def statuses(workflow_id: int) -> dict[str, list[str]]:
    """The statuses of instances by their paths, in the order of slots; not of scatters and loops."""
    found: dict[str, list[str]] = {}
    for node in nodes(workflow_id):
        if node.kind in ("scatter", "loop"):
            continue
        found.setdefault(node.path, []).append(Status(node.status).value)
    return found


def paths(calls: list[tuple[str, Values]]) -> Iterator[str]:
    """The paths of recorded jobs."""
    yield from (path for path, _ in calls)
