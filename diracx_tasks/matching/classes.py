"""What waits, class by class; which nodes ask; what is limited: for people who look after a VO's work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import func, select, union_all
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import utc_now
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.jobs.access import sees_all
from diracx_tasks.matching import grid, queue, store
from diracx_tasks.matching.ahead import lengths, owner_of
from diracx_tasks.matching.obstacles import DELAYED, FULL, Measured, everything, measure
from diracx_tasks.matching.seen import Condition, Seen, conditions, fits, seen
from diracx_tasks.matching.specification import from_json
from diracx_tasks.matching.store import Class
from diracx_tasks.matching.tables import JobClass, Queued
from diracx_tasks.matching.words import UPPER, offer_words, record, shown, summary
from diracx_tasks.resources import mask

# A class's jobs are counted in the database up to so many; of more the matcher's own count is good enough.
EXACT = 10_000


@dataclass(frozen=True)
class Waiting:
    """A class with jobs; `is_exact` is False when those killed a moment ago may be among very many.

    `asks` and `requirements` have an entry for each alternative. `last_asked_seconds` is when a node that
    fits asked last, None: not within the hour. `blocked` says what holds it back wherever nodes fit.
    """

    class_no: int
    job_type: str
    group: str
    owner: str
    priority: int
    jobs: int
    is_exact: bool
    oldest_job: int
    oldest_seconds: float
    asks: list[str]
    requirements: list[dict[str, Any]]
    last_asked_seconds: float | None
    blocked: list[str]


@dataclass(frozen=True)
class Kind:
    """A kind of nodes that asked within the last hour: in words, in values, and when one asked last.

    `banned` is why it may run jobs of the type Test only, at present.
    """

    site: str
    ce: str
    last_asked_seconds: float
    offers: str
    values: dict[str, Any]
    tags: list[str]
    required_tags: list[str]
    only: dict[str, list[str]]
    banned: str | None


@dataclass(frozen=True)
class Limited:
    """A limit, with how many run (None: not counted lately) of the most; or a delay, with its seconds.

    `is_full` says that none of these may start now.
    """

    kind: str
    scope: str
    attribute: str
    value: str
    running: int | None
    most: int | None
    seconds: float | None
    burst: int | None
    is_full: bool


def waiting(db: Session, *, by: User, first: int, count: int) -> tuple[list[Waiting], int]:
    """So many classes from the place `first` on, those with most jobs first, and how many there are.

    Who may not see all jobs of the VO sees his own classes. Raises Unavailable when Redis is away.
    """
    try:
        known: set[int] = set(store.classes(by.vo))
        if not sees_all(by):
            mine = select(JobClass.class_no).where(JobClass.vo == by.vo, JobClass.owner == by.name)
            known &= set(db.scalars(mine))
        found = {number: size for number, (size, _) in lengths(by.vo, sorted(known)).items() if size}
    except RedisError as error:
        raise Unavailable(f"the matcher's Redis does not answer: {error}") from error
    order = sorted(found, key=lambda number: (-found[number], number))[first : first + count]
    return list(_rows(db, by.vo, order, found)), len(found)


def kinds(*, by: User, first: int, count: int) -> tuple[list[Kind], int]:
    """So many kinds of nodes of the last hour from a place on, the newest first, and how many there are.

    Those for one owner only he sees, and who may see all jobs of the VO. Raises Unavailable.
    """
    is_shown, barred = sees_all(by), mask.barred(by.vo)
    found = [one for one in seen(by.vo) if is_shown or by.name in one.terms["only"].get("owner", [by.name])]
    page = found[first : first + count]
    return [_kind(one, barred.get(one.site) or barred.get(one.ce)) for one in page], len(found)


def limited(*, by: User) -> list[Limited]:
    """What is limited in the VO, what is full first; those of other owners only who may see all jobs."""
    is_shown = sees_all(by)
    found = [
        one
        for one in _limited(everything(by.vo))
        if is_shown or one.attribute != "owner" or one.value == by.name
    ]
    return sorted(found, key=lambda one: (not one.is_full, one.scope, one.kind, one.attribute, one.value))


def _rows(db: Session, vo: str, numbers: list[int], sizes: dict[int, int]) -> Iterator[Waiting]:
    if not numbers:
        return
    of_class = queue.classes_of(db, vo, numbers)
    counts, oldest = _counts(db, numbers), _oldest(db, numbers)
    nodes = _Nodes(vo)
    for number in numbers:
        of = of_class.get(number)
        if of is None or number not in oldest:
            continue
        wanted = [conditions(one, owner_of(of)) for one in from_json(of.needs)]
        last, blocked = nodes.for_class(of, wanted)
        is_exact = counts[number] < EXACT
        job, seconds = oldest[number]
        yield Waiting(
            class_no=number,
            job_type=of.job_type,
            group=of.group,
            owner=of.owner,
            priority=of.priority,
            jobs=counts[number] if is_exact else max(EXACT, sizes[number]),
            is_exact=is_exact,
            oldest_job=job,
            oldest_seconds=round(seconds, 1),
            asks=[summary(one) for one in wanted],
            requirements=[record(one) for one in from_json(of.needs)],
            last_asked_seconds=round(last.ago, 1) if last else None,
            blocked=blocked,
        )


def _counts(db: Session, numbers: Sequence[int]) -> dict[int, int]:
    """The jobs of classes, counted up to EXACT."""
    found = dict.fromkeys(numbers, 0)
    some = [
        select(select(Queued.class_no).where(Queued.class_no == number).limit(EXACT).subquery())
        for number in numbers
    ]
    every = union_all(*some).subquery()
    column = every.c[0]
    rows = db.execute(select(column, func.count()).group_by(column))
    return found | {number: count for number, count in rows}


def _oldest(db: Session, numbers: Sequence[int]) -> dict[int, tuple[int, float]]:
    """The oldest job of each class, and the seconds that it has been waiting."""
    mine = select(Queued.job_id).where(Queued.class_no == JobClass.class_no)
    first = mine.order_by(Queued.job_id).limit(1).correlate(JobClass).scalar_subquery()
    jobs = [job for job in db.scalars(select(first).where(JobClass.class_no.in_(numbers))) if job]
    query = select(Queued.class_no, Queued.job_id, Queued.queued_at, utc_now())
    rows = db.execute(query.where(Queued.job_id.in_(jobs)))
    return {row[0]: (row[1], max(0.0, (row[3] - row[2]).total_seconds())) for row in rows}


class _Nodes:
    """The kinds of the last hour, and what holds jobs back where they are."""

    def __init__(self, vo: str) -> None:
        self.kinds = seen(vo)
        self.measured = measure(vo, {(one.site, one.ce) for one in self.kinds})
        self.at: dict[str, list[Seen]] = {}
        for one in self.kinds:
            self.at.setdefault(one.site, []).append(one)

    def for_class(
        self, of: Class, alternatives: Sequence[Sequence[Condition]]
    ) -> tuple[Seen | None, list[str]]:
        """The kind that fits and asked last; and what holds the class back at all that fit."""
        last: Seen | None = None
        found: dict[str, None] = {}
        for one in self._candidates(alternatives):
            if not any(fits(wanted, one) for wanted in alternatives):
                continue
            last = last or one
            against = self.measured.against((one.site, one.ce), owner_of(of))
            if not against:
                return last, []
            found |= dict.fromkeys(obstacle.words for obstacle in against)
        return last, list(found)

    def _candidates(self, alternatives: Sequence[Sequence[Condition]]) -> list[Seen]:
        sites: set[str] = set()
        for wanted in alternatives:
            named = [one.wanted for one in wanted if one.name == "site"]
            if not named:
                return self.kinds
            sites.update(*named)
        found = [one for site in sites for one in self.at.get(site, ())]
        return sorted(found, key=lambda one: one.ago)


def _kind(one: Seen, banned: str | None) -> Kind:
    values = {name: value for name, value in one.terms["is"].items() if name not in ("site", "ce")}
    numbers = {
        name: shown(name, value)
        for name, value in one.terms["has"].items()
        if value < grid.UNLIMITED and name not in UPPER
    }
    return Kind(
        site=one.site,
        ce=one.ce,
        last_asked_seconds=round(one.ago, 1),
        offers=offer_words(one.terms),
        values=values | numbers,
        tags=one.terms["tags"],
        required_tags=one.terms["requires"],
        only=one.terms["only"],
        banned=banned,
    )


def _limited(found: Measured) -> Iterator[Limited]:
    for rules in found.rules.values():
        for limit in rules.limits:
            scope, attribute, value, most = limit
            running = found.running[limit]
            is_full = running is None or running >= most
            yield Limited(FULL, scope, attribute, value, running, most, None, None, is_full)
        for delay in rules.delays:
            scope, attribute, value, seconds, burst = delay
            is_full = found.starts[delay] < 1
            yield Limited(DELAYED, scope, attribute, value, None, None, seconds, burst, is_full)
