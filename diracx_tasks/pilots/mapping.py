"""Which pilot had which job: DIRAC's JobToPilotMapping. It knows nothing of jobs but their numbers."""

from collections.abc import Collection, Mapping

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, now, plain
from diracx_tasks.core.many import insert_many
from diracx_tasks.pilots.tables import Pilot, PilotJob


def note(db: Session, vo: str, jobs: Mapping[str, Collection[int]]) -> dict[str, int]:
    """Keep which jobs a VO's pilots got, by their stamps; what is known stays.

    Answers the numbers of the pilots by their stamps; those that are not known are left out.
    """
    wanted = sorted({job_id for ids in jobs.values() for job_id in ids})
    # DIRAC's table has no key that would tell what is there: INSERT IGNORE would add a second row.
    had = (PilotJob.pilot_id == Pilot.pilot_id) & PilotJob.job_id.in_(wanted)
    query = select(Pilot.stamp, Pilot.pilot_id, PilotJob.job_id).outerjoin(PilotJob, had)
    rows = db.execute(query.where(Pilot.vo == vo, Pilot.stamp.in_(sorted(jobs)))).all()
    # A database takes small letters for capitals; we do not.
    mine = [row for row in rows if row.stamp in jobs]
    known = {(row.pilot_id, row.job_id) for row in mine}
    given = {(row.pilot_id, job_id) for row in mine for job_id in jobs[row.stamp]}
    moment = now().replace(microsecond=0)
    new = [(pilot_id, job_id, moment) for pilot_id, job_id in sorted(given - known)]
    insert_many(db, plain(PilotJob), ("PilotID", "JobID", "StartTime"), new)
    return {row.stamp: row.pilot_id for row in mine}


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


def forget(db: Session, job_ids: Collection[int]) -> None:
    """Forget which pilots had jobs, which are removed; twice is harmless."""
    changed(db, delete(PilotJob).where(PilotJob.job_id.in_(job_ids)))
