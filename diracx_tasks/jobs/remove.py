"""Jobs leave the database with everything that belongs to them, many in one transaction.

Nothing is left of a page that was interrupted: the next one takes it again.
"""

from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    Delete,
    Integer,
    MetaData,
    ScalarSelect,
    Table,
    bindparam,
    delete,
    func,
    inspect,
    select,
    update,
)
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, plain
from diracx_tasks.jobs import control, parameters, to_count
from diracx_tasks.jobs.states import FINAL
from diracx_tasks.jobs.status import hold
from diracx_tasks.jobs.tables import (
    JOBS,
    Attempt,
    AttemptUse,
    Ended,
    Heartbeat,
    InputFile,
    Job,
    JobEvent,
    JobJDL,
    Parametric,
    Payload,
    Result,
    ToCount,
)
from diracx_tasks.matching import queue
from diracx_tasks.pilots import mapping
from diracx_tasks.sandboxes import assigned

# Below the 1000 from which on MariaDB makes a table of the values of an IN.
PAGE = 900
OF_JOB: tuple[Any, ...] = (
    AttemptUse,
    Attempt,
    Heartbeat,
    JobEvent,
    InputFile,
    Parametric,
    Ended,
    Result,
    Payload,
    ToCount,
    Job,
    JobJDL,
)
# DIRAC's own tables of JobDB, where it has made them; nothing of ours writes there.
HEARTBEATS = "HeartBeatLoggingInfo"
DIRACS = {
    name: Table(name, MetaData(), Column("JobID", Integer), schema=JOBS)
    for name in ("AtticJobParameters", "OptimizerParameters", "JobCommands", HEARTBEATS)
}
# A part of the text: the driver escapes numbers one by one, which takes longer than to delete their rows.
NUMBERS: BindParameter[Any] = bindparam("ids", type_=Integer, expanding=True, literal_execute=True)


def remove(db: Session, job_ids: Collection[int]) -> None:
    """Remove jobs that have ended, whose rows this transaction holds, and all that is stored of them.

    What is not counted yet of their attempts is lost: `to_count.uncounted`. Their sandboxes are cleaned
    later, if nobody else has them. Files that they registered stay.
    """
    if not job_ids:
        return
    db.flush()
    queue.remove(db, job_ids)
    assigned.forget(db, [f"Job:{job_id}" for job_id in job_ids])
    mapping.forget(db, job_ids)
    parameters.forget(db, job_ids)
    for table in (*_diracs(db, DIRACS), *map(plain, OF_JOB)):
        _delete(db, table, job_ids)


def remove_owned(db: Session, owner_task: str, owner_id: int, job_group: str, after: int) -> int | None:
    """Remove a page of an owner's jobs of a group, those with numbers above `after`.

    Answers how far it has come, None when there is nothing behind it. What has not ended is killed and
    belongs to nobody then: it is removed in its time, when its pilots have heard of it. So is what has
    attempts that are not counted yet.
    """
    query = select(Job.job_id, Payload.owner_task, Payload.owner_id)
    joined = query.outerjoin(Payload, Payload.job_id == Job.job_id)
    mine = (Job.job_group == job_group, Job.job_id > after)
    rows = db.execute(joined.where(*mine).order_by(Job.job_id).limit(PAGE)).all()
    owned = [row.job_id for row in rows if (row.owner_task, row.owner_id) == (owner_task, owner_id)]
    last = db.scalar(select(newest()))
    held = hold(db, owned)
    kept = {last} | to_count.uncounted(db, held)
    gone = [one.job_id for one in held.values() if one.status in FINAL and one.job_id not in kept]
    remove(db, gone)
    _disown(db, sorted(held.keys() - set(gone)))
    return rows[-1].job_id if len(rows) == PAGE else None


def forget_heartbeats(db: Session, job_ids: Collection[int]) -> None:
    """Forget what jobs that have ended used from moment to moment."""
    if not job_ids:
        return
    db.flush()
    for table in (plain(Heartbeat), *_diracs(db, (HEARTBEATS,))):
        _delete(db, table, job_ids)


def newest() -> ScalarSelect[int]:
    """The highest number of a job, as a subquery; that job must stay: SQLite would give its number again."""
    return select(func.max(JobJDL.job_id)).scalar_subquery()


def _disown(db: Session, job_ids: Collection[int]) -> None:
    if not job_ids:
        return
    nobodys = {"owner_task": None, "owner_id": None}
    changed(db, update(Payload).where(Payload.job_id.in_(job_ids)).values(nobodys))
    changed(db, delete(Ended).where(Ended.job_id.in_(job_ids)))
    control.kill_all(db, job_ids, "because what it was made for is gone")


def _diracs(db: Session, names: Collection[str]) -> Iterator[Table]:
    """Those of DIRAC's tables that are there: their keys to jobs would forbid the removal."""
    connection = db.connection()
    schemas = connection.get_execution_options().get("schema_translate_map") or {}
    there = set(inspect(connection).get_table_names(schema=schemas.get(JOBS, JOBS)))
    yield from (DIRACS[name] for name in names if name in there)


def _delete(db: Session, table: Table, job_ids: Collection[int]) -> None:
    db.connection().execute(_deletion(table), {"ids": list(job_ids)})


@lru_cache(32)
def _deletion(table: Table) -> Delete:
    return delete(table).where(table.c.JobID.in_(NUMBERS))
