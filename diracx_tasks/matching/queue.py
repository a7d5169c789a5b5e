"""The queue of waiting jobs in the database, and what follows of it in Redis."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import BindParameter, Executable, Select, bindparam, delete, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from diracx_tasks.core.database import after_commit, changed, now, plain, utc_now
from diracx_tasks.core.many import insert_many
from diracx_tasks.cwl.record import InvalidRequirements
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.matching import store
from diracx_tasks.matching.specification import needs_json, specifications
from diracx_tasks.matching.store import Class, Which
from diracx_tasks.matching.tables import JobClass, Queued
from diracx_tasks.pilots.queues import has_queues

LEAST_PRIORITY, MOST_PRIORITY = 0, 10
# A class that is used is noted as such once in so many seconds.
NOTED = 600
# Pilots that are idle have so many seconds before others are started for what they could take.
FIRST_PILOTS = 5


@dataclass(frozen=True)
class Entry:
    """A job to be queued; `requirements` is the record that `cwl/record.py` describes."""

    job_id: int
    vo: str
    job_type: str
    group: str
    owner: str
    priority: int
    requirements: Mapping[str, Any]

    def check(self) -> None:
        """Raise InvalidRequirements when what it asks for makes no sense."""
        _ = self.identity

    @property
    def identity(self) -> tuple[str, str, str, str, int, str]:
        """What makes its class: VO, type, group, owner, priority from 0 to 10, and what it needs."""
        priority = max(LEAST_PRIORITY, min(self.priority, MOST_PRIORITY))
        try:
            record = orjson.dumps(self.requirements, option=orjson.OPT_SORT_KEYS)
        except (TypeError, ValueError) as error:
            raise InvalidRequirements(f"what it asks for cannot be stored: {error}") from None
        return self.vo, self.job_type, self.group, self.owner, priority, _needs(record)


def add(db: Session, entries: Sequence[Entry]) -> None:
    """Queue jobs that have become Waiting; they reach Redis right after the commit."""
    if not entries:
        return
    by_class: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for entry in entries:
        by_class[entry.identity].append(entry.job_id)
    classes = _classes(db, by_class)
    moment = now()
    rows = [(job_id, classes[one].class_no, moment) for one, jobs in by_class.items() for job_id in jobs]
    insert_many(db, plain(Queued), ("JobID", "ClassNo", "QueuedAt"), sorted(rows))
    jobs = {classes[one]: sorted(ids) for one, ids in by_class.items()}
    after_commit(db, lambda: _queue(jobs))
    for vo in sorted({one[0] for one in by_class}):
        if has_queues(vo):
            # A little later, so that pilots which run already take what they can.
            enqueue(db, "pilots.plan_pilots", f"vo-{vo}.plan", delay=FIRST_PILOTS, vo=vo)


def remove(db: Session, job_ids: Collection[int]) -> None:
    """Take jobs out of the queue that were killed or held; Redis hears of it right after the commit."""
    rows = db.execute(
        select(Queued.job_id, Queued.class_no, JobClass.vo)
        .outerjoin(JobClass, JobClass.class_no == Queued.class_no)
        .where(Queued.job_id.in_(job_ids))
    ).all()
    if not rows:
        return
    changed(db, delete(Queued).where(Queued.job_id.in_([row.job_id for row in rows])))
    of_vo: dict[str, dict[int, int]] = defaultdict(dict)
    for row in rows:
        # Redis knows nothing of a class that is not known here.
        if row.vo is not None:
            of_vo[row.vo][row.job_id] = row.class_no
    after_commit(db, lambda: _drop(of_vo))


def claimed(db: Session, job_ids: Collection[int]) -> None:
    """Take jobs out of the queue that Redis has given away already."""
    if job_ids:
        changed(db, delete(Queued).where(Queued.job_id.in_(job_ids)))


def classes_of_jobs(db: Session, job_ids: Collection[int]) -> dict[int, int]:
    """The classes of jobs that are in the queue."""
    if not job_ids:
        return {}
    rows = db.connection().execute(_looking_up(), {"ids": list(job_ids)})
    return {row.JobID: row.ClassNo for row in rows}


def forget_orphans(db: Session) -> int:
    """Take jobs out of the queue whose class is not known: they can be queued again then."""
    return changed(db, delete(Queued).where(Queued.class_no.not_in(select(JobClass.class_no))))


def queued() -> Select[tuple[int]]:
    """The jobs in the queue, as a subquery."""
    return select(Queued.job_id)


def classes_of(db: Session, vo: str, numbers: Collection[int] | None = None) -> dict[int, Class]:
    """A VO's classes by their numbers: all, or these as far as there are such."""
    query = _columns().where(JobClass.vo == vo)
    if numbers is not None:
        query = query.where(JobClass.class_no.in_(numbers))
    return {row.class_no: row for row in map(_class, db.execute(query))}


def vos(db: Session) -> list[str]:
    """The VOs that have a class."""
    return list(db.scalars(select(JobClass.vo).distinct()))


@lru_cache(1)
def _looking_up() -> Executable:
    ids: BindParameter[Any] = bindparam("ids", expanding=True)
    return select(Queued.job_id, Queued.class_no).where(Queued.job_id.in_(ids))


@lru_cache(4096)
def _needs(record: bytes) -> str:
    return needs_json(specifications(orjson.loads(record)))


@lru_cache(4096)
def _digest(identity: tuple[Any, ...]) -> str:
    return hashlib.sha256(orjson.dumps(identity)).hexdigest()


def _classes(db: Session, identities: Iterable[tuple[Any, ...]]) -> dict[tuple[Any, ...], Class]:
    """The classes of identities, made where there are none yet."""
    digests = {_digest(identity): identity for identity in identities}
    found = _known(db, digests)
    # In one order, or two transactions that make the same classes would wait for each other.
    if missing := sorted(digests.keys() - found.keys()):
        db.execute(_making(db), [_row(digest, digests[digest]) for digest in missing])
        found |= _known(db, missing)
    return {digests[digest]: one for digest, one in found.items()}


def _known(db: Session, digests: Collection[str]) -> dict[str, Class]:
    query = _columns().add_columns(JobClass.digest, JobClass.used_at < utc_now(-NOTED))
    rows = db.execute(query.where(JobClass.digest.in_(digests))).all()
    old = sorted(row[0] for row in rows if row[-1])
    if not old:
        return {row[-2]: _class(row) for row in rows}
    # `sweep.collect` may be about to drop them: of the two the first wins, and the row tells which.
    changed(db, update(JobClass).where(JobClass.class_no.in_(old)).values(used_at=utc_now()))
    left = set(db.scalars(select(JobClass.class_no).where(JobClass.class_no.in_(old))))
    return {row[-2]: _class(row) for row in rows if not row[-1] or row[0] in left}


def _columns() -> Any:
    return select(
        JobClass.class_no,
        JobClass.vo,
        JobClass.job_type,
        JobClass.group,
        JobClass.owner,
        JobClass.priority,
        JobClass.needs,
    )


def _class(row: Any) -> Class:
    return Class(*row[:7])


def _row(digest: str, identity: tuple[Any, ...]) -> dict[str, Any]:
    names = ("VO", "JobType", "OwnerGroup", "Owner", "Priority", "Needs")
    return {"Digest": digest, "UsedAt": now(), **dict(zip(names, identity, strict=True))}


def _making(db: Session) -> Any:
    """An INSERT that leaves a class alone that another has made meanwhile."""
    if db.get_bind().dialect.name == "sqlite":
        return sqlite.insert(plain(JobClass)).on_conflict_do_nothing()
    made: Any = mysql.insert(plain(JobClass))
    return made.on_duplicate_key_update(Digest=made.inserted.Digest)


def _queue(jobs: Mapping[Class, Sequence[int]]) -> None:
    store.push(jobs, Which.NEW)


def _drop(jobs: Mapping[str, Mapping[int, int]]) -> None:
    for vo, of_class in jobs.items():
        store.drop(vo, of_class)
