"""The other jobs of a parametric one, chunk by chunk: how far it has come is stored with each chunk."""

from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed
from diracx_tasks.core.errors import BadRequest, Forbidden
from diracx_tasks.jobs import jdl, parametric
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change, move
from diracx_tasks.jobs.submissions import AT_ONCE, new_jobs
from diracx_tasks.jobs.submit import ACCEPTED, ask_for_optimizer, create
from diracx_tasks.jobs.tables import Job, JobJDL, Parametric


class Progress(NamedTuple):
    """How far a parametric job has been expanded."""

    made: int
    total: int


def expand(db: Session, job_id: int) -> Progress:
    """Make the next chunk of jobs; when all are made the first one is accepted as well.

    Nothing is made any more when the first one is no longer Submitting: it was killed, deleted or removed.
    """
    stored = select(Parametric).where(Parametric.job_id == job_id).with_for_update()
    spec = db.execute(stored).scalar_one_or_none()
    if spec is None:
        return Progress(0, 0)
    job = db.get_one(Job, job_id, with_for_update=True)
    if job.status != Status.SUBMITTING:
        return Progress(spec.made, spec.made)
    who = User(job.owner, spec.group, job.vo, job.owner)
    ad = jdl.parse(db.get_one(JobJDL, job_id).original)
    stop = min(spec.made + AT_ONCE, spec.total)
    try:
        create(db, new_jobs(parametric.expand(ad, spec.made, stop), who))
    except (BadRequest, Forbidden) as error:
        move(
            db,
            job_id,
            Change(Status.FAILED, "Illegal Job JDL", str(error), "JobManager"),
            attempt=job.attempt,
        )
        return Progress(spec.made, spec.made)
    changed(db, update(Parametric).where(Parametric.job_id == job_id).values(made=stop))
    if stop == spec.total:
        move(db, job_id, ACCEPTED, attempt=job.attempt)
        ask_for_optimizer(db)
    return Progress(stop, spec.total)
