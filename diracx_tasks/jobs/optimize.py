"""From Received to Waiting: what DIRAC's chain of executors did, in one transaction for a batch of jobs."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change, move_many
from diracx_tasks.jobs.tables import Job, Payload
from diracx_tasks.matching import queue

BATCH = 500
WAITING = Change(
    Status.WAITING, minor="Pilot Agent Submission", application="Unknown", source="JobScheduling"
)


def optimize(db: Session) -> int:
    """Put up to BATCH received jobs into the matcher's queue; answers how many there were."""
    rows = db.execute(
        select(Job.job_id, Job.vo, Job.priority, Payload.requirements)
        .join(Payload, Payload.job_id == Job.job_id)
        .where(Job.status == Status.RECEIVED)
        .order_by(Job.job_id)
        .limit(BATCH)
    ).all()
    moved = set(move_many(db, [row.job_id for row in rows], WAITING, frm=(Status.RECEIVED,)))
    chosen = [row for row in rows if row.job_id in moved]
    queue.add(db, [queue.Entry(row.job_id, row.vo, row.priority, row.requirements) for row in chosen])
    return len(rows)
