"""The queue of waiting jobs: truth in the database, speed in Redis."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import after_commit, changed, now
from diracx_tasks.core.redis import redis
from diracx_tasks.matching import keys
from diracx_tasks.matching.tables import JobClass, Queued

PAGE = 5000
# A place keeps 40 bits for the job's number: a double holds 53 exactly.
SPAN = 1 << 40
LOWEST = 10
FIELDS = ("cores", "ram_mb", "sites", "banned_sites", "platform", "tags")
RAM_STEP_MB = 256


@dataclass(frozen=True)
class Entry:
    """A job to be queued; `requirements` as `cwl/hints` gives them."""

    job_id: int
    vo: str
    priority: int
    requirements: dict[str, Any]

    @property
    def place(self) -> float:
        """Lower is sooner."""
        return float((LOWEST - max(0, min(self.priority, LOWEST))) * SPAN + self.job_id)


def normalised(requirements: dict[str, Any]) -> dict[str, Any]:
    """What makes the class: every field, lists sorted, RAM rounded up so that classes stay few."""
    found = {field: requirements.get(field) for field in FIELDS}
    for field in ("sites", "banned_sites", "tags"):
        found[field] = sorted(found[field] or [])
    found["cores"] = int(found["cores"] or 1)
    found["ram_mb"] = -(-int(found["ram_mb"] or 1) // RAM_STEP_MB) * RAM_STEP_MB
    return found


def class_of(vo: str, requirements: dict[str, Any]) -> str:
    """The class's id: a hash of VO and normalised requirements."""
    text = json.dumps([vo, normalised(requirements)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def add(db: Session, entries: Sequence[Entry]) -> None:
    """Queue jobs that have become Waiting; they reach Redis right after the commit."""
    if not entries:
        return
    by_class: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_class[class_of(entry.vo, entry.requirements)].append(entry)
    known = set(db.scalars(select(JobClass.class_id).where(JobClass.class_id.in_(by_class))))
    for class_id, members in by_class.items():
        if class_id not in known:
            needs = normalised(members[0].requirements)
            # Two optimizers may meet the same new class: the second one's is the same.
            db.merge(JobClass(class_id=class_id, vo=members[0].vo, requirements=needs))
        common = {"class_id": class_id, "queued_at": now()}
        rows = [{"job_id": e.job_id, "vo": e.vo, "place": e.place, **common} for e in members]
        db.execute(insert(Queued), rows)
    added = [entry.job_id for entry in entries]
    after_commit(db, lambda: _push_added(added))


def remove(db: Session, job_ids: Collection[int]) -> None:
    """Take jobs out of the queue; what Redis still holds of them is refused when it is claimed."""
    changed(db, delete(Queued).where(Queued.job_id.in_(job_ids)))


def put_back(db: Session, vo: str, job_ids: Collection[int]) -> int:
    """Return leased jobs that still wait to Redis, and end their leases; answers how many went back."""
    rows = db.execute(_rows().where(Queued.job_id.in_(job_ids), Queued.vo == vo)).all()
    _push(rows)
    if job_ids:
        redis().zrem(keys.leases(vo), *job_ids)
    return len(rows)


def overdue_leases(vo: str) -> list[int]:
    """Jobs that were taken and neither confirmed nor released in time."""
    seconds = redis().time()[0]
    jobs: list[str] = redis().zrangebyscore(keys.leases(vo), 0, seconds, start=0, num=PAGE)  # type: ignore[assignment]
    return [int(job) for job in jobs]


def rebuild(db: Session, vo: str) -> int:
    """Bring everything that waits into Redis, page by page; harmless while pilots go on asking."""
    total = last = 0
    while True:
        page = db.execute(
            _rows().where(Queued.vo == vo, Queued.job_id > last).order_by(Queued.job_id).limit(PAGE)
        )
        rows = page.all()
        _push(rows)
        total += len(rows)
        if len(rows) < PAGE:
            redis().set(keys.ready(vo), 1)
            return total
        last = rows[-1].job_id


def vos(db: Session) -> list[str]:
    """The VOs that have a class."""
    return list(db.scalars(select(JobClass.vo).distinct()))


def _rows() -> Any:
    return select(Queued.job_id, Queued.vo, Queued.class_id, Queued.place, JobClass.requirements).join(
        JobClass, JobClass.class_id == Queued.class_id
    )


def _push_added(job_ids: list[int]) -> None:
    from diracx_tasks.core.database import reading

    with reading() as db:
        for page in _pages(job_ids):
            _push(db.execute(_rows().where(Queued.job_id.in_(page))).all())


def _push(rows: Sequence[Any]) -> None:
    pipe = redis().pipeline(transaction=True)
    for row in rows:
        # Class and job in one transaction: the match removes classes that it finds empty.
        pipe.hset(keys.classes(row.vo), row.class_id, json.dumps(row.requirements))
        pipe.zadd(keys.jobs(row.vo, row.class_id), {str(row.job_id): row.place}, nx=True)
    if rows:
        pipe.execute()


def _pages(job_ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(job_ids), PAGE):
        yield job_ids[start : start + PAGE]
