"""From Received to Waiting: what DIRAC's chain of executors did, in one transaction for a batch of jobs."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import ENTRY, Change, move_many
from diracx_tasks.jobs.tables import Job, Payload
from diracx_tasks.matching import queue

BATCH = 500
WAITING = Change(
    Status.WAITING, minor="Pilot Agent Submission", application="Unknown", source="JobScheduling"
)


def optimize(db: Session) -> int:
    """Put up to BATCH received jobs into the matcher's queue; answers how many there were."""
    rows = db.execute(
        select(*ENTRY)
        .join(Payload, Payload.job_id == Job.job_id)
        .where(Job.status == Status.RECEIVED)
        .order_by(Job.job_id)
        .limit(BATCH)
    ).all()
    moved = set(move_many(db, [row.job_id for row in rows], WAITING, frm=(Status.RECEIVED,)))
    chosen = [row for row in rows if row.job_id in moved]
    queue.add(db, [queue.Entry(*row) for row in chosen])
    return len(rows)


def requeue(db: Session) -> int:
    """Queue waiting jobs that are not in the queue, and take out what does not wait; answers how many.

    Both happen only when somebody else has written into the tables, or an upgrade has emptied the queue.
    """
    rows = db.execute(
        select(*ENTRY)
        .join(Payload, Payload.job_id == Job.job_id)
        .where(Job.status == Status.WAITING, Job.job_id.not_in(queue.queued()))
        .order_by(Job.job_id)
        .limit(BATCH)
        .with_for_update(of=Job)
    ).all()
    queue.add(db, [queue.Entry(*row) for row in rows])
    others = select(Job.job_id).where(Job.job_id.in_(queue.queued()), Job.status != Status.WAITING)
    gone = list(db.scalars(others.limit(BATCH)))
    queue.remove(db, gone)
    return len(rows) + len(gone)
