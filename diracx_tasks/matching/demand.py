"""How many jobs wait in each class, for whoever starts pilots."""

from collections.abc import Sequence
from typing import NamedTuple

from redis.exceptions import RedisError
from sqlalchemy import ScalarSelect, func, literal, select, union_all
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
    some = [select(literal(number), _up_to(number, most)) for number in numbers]
    rows = db.execute(union_all(*some)).all() if some else []
    return [(number, count) for number, count in rows if count]


def _up_to(number: int, most: int) -> ScalarSelect[int]:
    """How many jobs of a class wait; those above so many are not looked at."""
    jobs = select(literal(1)).select_from(Queued).where(Queued.class_no == number).limit(most).subquery()
    return select(func.count()).select_from(jobs).scalar_subquery()
