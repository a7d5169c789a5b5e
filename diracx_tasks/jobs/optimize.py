"""From Received to Waiting: what DIRAC's chain of executors did, in one transaction for a batch of jobs."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, select
from sqlalchemy.orm import Session

from diracx_tasks.cwl.record import InvalidRequirements
from diracx_tasks.engine import repairs
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import ENTRY, Change, move, move_many
from diracx_tasks.jobs.tables import Job, Payload
from diracx_tasks.matching import queue

BATCH = 500
WAITING = Change(
    Status.WAITING, minor="Pilot Agent Submission", application="Unknown", source="JobScheduling"
)


def optimize(db: Session) -> int:
    """Put up to BATCH received jobs into the matcher's queue; answers how many there were."""
    rows = db.execute(_jobs(Job.status == Status.RECEIVED)).all()
    entries = _entries(db, rows, Status.RECEIVED)
    moved = set(move_many(db, list(entries), WAITING, frm=(Status.RECEIVED,)))
    queue.add(db, [entry for job_id, entry in entries.items() if job_id in moved])
    return len(rows)


def requeue(db: Session) -> int:
    """Queue waiting jobs that are not in the queue, and take out what does not wait; answers how many.

    Both happen only when somebody else has written into the tables, or an upgrade has emptied the queue.
    """
    queue.forget_orphans(db)
    left_out = (Job.status == Status.WAITING, Job.job_id.not_in(queue.queued()))
    # Found without a lock: it would wait for every job that somebody holds.
    found = list(db.scalars(select(Job.job_id).where(*left_out).order_by(Job.job_id).limit(BATCH)))
    rows = db.execute(_jobs(Job.job_id.in_(found), *left_out).with_for_update()).all()
    queue.add(db, list(_entries(db, rows, Status.WAITING).values()))
    others = select(Job.job_id).where(Job.job_id.in_(queue.queued()), Job.status != Status.WAITING)
    gone = list(db.scalars(others.limit(BATCH)))
    queue.remove(db, gone)
    repairs.note(db, {"waiting_not_queued": len(rows), "queued_not_waiting": len(gone)})
    return len(rows) + len(gone)


def _jobs(*conditions: ColumnElement[bool]) -> Select[Any]:
    query = select(*ENTRY, Job.attempt).join(Payload, Payload.job_id == Job.job_id)
    return query.where(*conditions).order_by(Job.job_id).limit(BATCH)


def _entries(db: Session, rows: Sequence[Row[Any]], status: Status) -> dict[int, queue.Entry]:
    """What is to be queued; a job whose requirements make no sense fails with the reason, and no other."""
    found = {}
    for row in rows:
        entry = queue.Entry(*list(row)[:-1])
        try:
            entry.check()
        except InvalidRequirements as error:
            change = Change(Status.FAILED, "JobScheduling optimizer", str(error), "JobScheduling")
            move(db, entry.job_id, change, attempt=row.Attempt, frm=(status,))
        else:
            found[entry.job_id] = entry
    return found
