"""Which pilot had which job: DIRAC's JobToPilotMapping. It knows nothing of jobs but their numbers."""

from collections.abc import Collection

from sqlalchemy import Integer, Select, insert, literal, select, true, union_all
from sqlalchemy.orm import Session

from diracx_tasks.core.database import utc_now
from diracx_tasks.pilots.tables import Pilot, PilotJob


def note(db: Session, vo: str, stamp: str, job_ids: Collection[int]) -> None:
    """Keep which jobs a pilot got; what is known already stays. Nothing happens if the pilot is unknown."""
    if not job_ids:
        return
    given = union_all(*[select(literal(job_id, Integer).label("job_id")) for job_id in sorted(job_ids)])
    jobs = given.subquery()
    # One statement, and not INSERT IGNORE: DIRAC's table has no key that would tell what is there.
    known = select(PilotJob.job_id).where(
        PilotJob.pilot_id == Pilot.pilot_id, PilotJob.job_id == jobs.c.job_id
    )
    new = (
        select(Pilot.pilot_id, jobs.c.job_id, utc_now())
        .join(jobs, true())
        .where(Pilot.stamp == stamp, Pilot.vo == vo, ~known.exists())
    )
    names = [PilotJob.pilot_id, PilotJob.job_id, PilotJob.started_at]
    db.execute(insert(PilotJob).from_select(names, new))


def pilots_of(job_ids: Collection[int]) -> Select[int]:
    """The numbers of the pilots that had any of these jobs, as a subquery."""
    return select(PilotJob.pilot_id).where(PilotJob.job_id.in_(job_ids))


def jobs_of(db: Session, vo: str, stamps: Collection[str]) -> list[int]:
    """The jobs that pilots of a VO had, as far as they were registered."""
    query = (
        select(PilotJob.job_id)
        .join(Pilot, Pilot.pilot_id == PilotJob.pilot_id)
        .where(Pilot.stamp.in_(stamps), Pilot.vo == vo)
    )
    return list(db.scalars(query.distinct().order_by(PilotJob.job_id)))
