"""Bringing Redis in line with the database: after a flush, after a crash, and what neither would mend."""

from collections import defaultdict
from collections.abc import Iterator

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import after_commit, changed, utc_now
from diracx_tasks.matching import queue, store
from diracx_tasks.matching.store import CHUNK, Class, Which
from diracx_tasks.matching.tables import JobClass, Queued

PAGE = 10_000
# A class without jobs is kept for so many seconds: the next ones may come.
EMPTY = 3600


def rebuild(db: Session, vo: str) -> int:
    """Bring everything that waits into Redis, class by class; harmless while pilots go on asking.

    Answers how many jobs were not there.
    """
    classes = queue.classes_of(db, vo)
    total = 0
    for jobs in _pages(db, vo):
        total += store.push({classes[number]: ids for number, ids in jobs.items() if number in classes})
    store.set_ready(vo)
    return total


def expire(db: Session, vo: str) -> int:
    """Return a page of jobs that were taken and never claimed to the front of their class; answers how many.

    Kinds of nodes that have not asked for an hour are forgotten as well.
    """
    store.forget_kinds(vo)
    taken = store.overdue(vo)
    jobs = _by_class(db, vo, taken)
    store.push(jobs, Which.RETURN)
    waiting = {job_id for ids in jobs.values() for job_id in ids}
    store.confirm(vo, [job_id for job_id in taken if job_id not in waiting])
    return len(waiting)


def chunks(db: Session, vo: str) -> list[int]:
    """The chunks of job numbers in which a job may wait, in the database (of any VO) or in Redis."""
    return sorted({*store.chunks(vo), *_chunks(db)})


def compare(db: Session, vo: str, chunk: int) -> int:
    """Bring the jobs of a chunk of 65536 numbers in line; answers how many differed.

    The session must be a new one: what it sees may not be older than what Redis says.
    """
    held = {chunk * CHUNK + place for place in store.places(store.bits(vo, chunk))}
    rows = db.execute(
        select(Queued.job_id, Queued.class_no)
        .join(JobClass, JobClass.class_no == Queued.class_no)
        .where(JobClass.vo == vo, Queued.job_id >= chunk * CHUNK, Queued.job_id < (chunk + 1) * CHUNK)
        .order_by(Queued.job_id)
    )
    wanted = {row.job_id: row.class_no for row in rows}
    missing = sorted(wanted.keys() - held)
    differed = store.push(_by_class(db, vo, missing))
    if gone := held - wanted.keys():
        # Of which class they were is forgotten: their bits go, and a match drops their entries.
        store.drop(vo, dict.fromkeys(gone, 0))
    if gone or not wanted:
        store.mend(vo, chunk)
    return differed + len(gone)


def collect(db: Session, vo: str) -> int:
    """Drop classes that have had no jobs for an hour."""
    of_class = exists().where(Queued.class_no == JobClass.class_no)
    old = select(JobClass.class_no).where(JobClass.vo == vo, JobClass.used_at < utc_now(-EMPTY), ~of_class)
    numbers = list(db.scalars(old.limit(PAGE)))
    if numbers:
        # A class that is used at this moment has a new UsedAt, whoever comes first.
        used = JobClass.used_at < utc_now(-EMPTY)
        changed(db, delete(JobClass).where(JobClass.class_no.in_(numbers), used))
    after_commit(db, lambda: _forget(vo, numbers))
    return len(numbers)


def forget_unknown(db: Session, vo: str) -> int:
    """Have Redis forget classes that the database does not have."""
    known = store.classes(vo)
    return store.forget(vo, sorted(set(known) - queue.classes_of(db, vo).keys()))


def _forget(vo: str, numbers: list[int]) -> None:
    store.forget(vo, numbers)
    store.forget_lists(vo)


def _pages(db: Session, vo: str) -> Iterator[dict[int, list[int]]]:
    """A VO's jobs by their classes, some PAGE at a time: a large class in pages, small ones together."""
    of_vo = select(JobClass.class_no).where(JobClass.vo == vo)
    counts = select(Queued.class_no, func.count()).where(Queued.class_no.in_(of_vo)).group_by(Queued.class_no)
    together: list[int] = []
    room = PAGE
    for number, count in db.execute(counts).all():
        if count > PAGE:
            yield from _pages_of(db, number)
            continue
        if count > room:
            yield _jobs_of(db, together)
            together, room = [], PAGE
        together.append(number)
        room -= count
    yield _jobs_of(db, together)


def _pages_of(db: Session, class_no: int) -> Iterator[dict[int, list[int]]]:
    last, page = 0, [0]
    while page:
        query = select(Queued.job_id).where(Queued.class_no == class_no, Queued.job_id > last)
        page = list(db.scalars(query.order_by(Queued.job_id).limit(PAGE)))
        if page:
            yield {class_no: page}
            last = page[-1]


def _jobs_of(db: Session, class_nos: list[int]) -> dict[int, list[int]]:
    query = select(Queued.class_no, Queued.job_id).where(Queued.class_no.in_(class_nos))
    found: dict[int, list[int]] = defaultdict(list)
    for class_no, job_id in db.execute(query.order_by(Queued.class_no, Queued.job_id)):
        found[class_no].append(job_id)
    return found


def _by_class(db: Session, vo: str, job_ids: list[int]) -> dict[Class, list[int]]:
    found: dict[Class, list[int]] = defaultdict(list)
    for start in range(0, len(job_ids), PAGE):
        page = job_ids[start : start + PAGE]
        query = select(Queued.job_id, Queued.class_no).where(Queued.job_id.in_(page))
        rows = db.execute(query.order_by(Queued.job_id)).all()
        classes = queue.classes_of(db, vo, {row.class_no for row in rows})
        for job_id, class_no in rows:
            if class_no in classes:
                found[classes[class_no]].append(job_id)
    return found


def _chunks(db: Session) -> Iterator[int]:
    chunk, last = -1, db.scalar(select(func.max(Queued.job_id)))
    while last is not None and chunk < last // CHUNK:
        following = select(func.min(Queued.job_id)).where(Queued.job_id >= (chunk + 1) * CHUNK)
        found = db.scalar(following)
        if found is None:
            return
        chunk = found // CHUNK
        yield chunk
