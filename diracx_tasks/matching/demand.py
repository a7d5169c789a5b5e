"""How many jobs wait in each class, for whoever starts pilots."""

from collections.abc import Sequence
from typing import NamedTuple

from redis.exceptions import RedisError
from sqlalchemy import func, select, union_all
from sqlalchemy.orm import Session

from diracx_tasks.core.redis import redis
from diracx_tasks.matching import keys, queue
from diracx_tasks.matching.store import Class
from diracx_tasks.matching.tables import Queued

# SQLite takes 500 selects in one.
PAGE = 200
GROUP = "group:"


class Demand(NamedTuple):
    """A class, and how many of its jobs wait, counted up to what was asked for."""

    of: Class
    jobs: int


def demand(db: Session, vo: str, most: int) -> list[Demand]:
    """The classes of a VO in which jobs wait; of each up to `most` are counted.

    As the database has it: what was killed or given away a moment ago is not among them.
    """
    of_class = queue.classes_of(db, vo)
    numbers = sorted(of_class)
    return [
        Demand(of_class[number], count)
        for start in range(0, len(numbers), PAGE)
        for number, count in _counts(db, numbers[start : start + PAGE], most)
    ]


def group_weights(vo: str) -> dict[str, float]:
    """The weights of groups that are not 1, as the matcher has them now; none when Redis is away."""
    try:
        found = redis().hgetall(f"{keys.prefix(vo)}weights")
    except RedisError:
        return {}
    return {
        str(name).removeprefix(GROUP): float(weight)
        for name, weight in dict(found).items()
        if str(name).startswith(GROUP)
    }


def _counts(db: Session, numbers: Sequence[int], most: int) -> list[tuple[int, int]]:
    some = [
        select(select(Queued.class_no).where(Queued.class_no == number).limit(most).subquery())
        for number in numbers
    ]
    column = union_all(*some).subquery().c[0]
    rows = db.execute(select(column, func.count()).group_by(column))
    return [(number, count) for number, count in rows]
