"""How many jobs are before one, and how many others want the same nodes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diracx_tasks.core.redis import redis
from diracx_tasks.matching import keys, store
from diracx_tasks.matching.seen import Seen, Who
from diracx_tasks.matching.store import Class
from diracx_tasks.matching.tables import Queued

# So many are counted; of more it is said that there are more.
MOST = 1_000_000
# Of more kinds that fit, those are looked at that asked last.
KINDS = 64
# What one call of a script takes: it keeps the matcher waiting for a millisecond or two.
SLICE = 500


@dataclass(frozen=True)
class Ahead:
    """Jobs of the same class that are older; of more than a million there are `MOST`, and `is_more` is true.

    `sooner` are others of the same owner and group with a higher priority that want the same nodes;
    `competing` are all of `classes` other classes that do, about: what was killed may be among them.
    """

    same: int
    is_more: bool = False
    sooner: int = 0
    competing: int = 0
    classes: int = 0


def ahead(db: Session, of: Class, job_id: int, fitting: Sequence[Seen]) -> Ahead:
    """What is before a job of a class that some kinds of nodes fit."""
    same, is_more = _older(db, of.class_no, job_id)
    sooner = competing = classes = 0
    for class_no, count, who, priority in set(_crowd(of.vo, fitting[:KINDS])):
        if class_no == of.class_no or not count:
            continue
        classes, competing = classes + 1, competing + count
        if who == (of.group, of.owner) and priority > of.priority:
            sooner += count
    return Ahead(same, is_more, sooner, competing, classes)


def lengths(vo: str, class_nos: Sequence[int]) -> dict[int, tuple[int, int | None]]:
    """Entries of each class's list, and its first job; what was killed may be among them."""
    found = {}
    for start in range(0, len(class_nos), SLICE):
        some = class_nos[start : start + SLICE]
        parts = store.run("lengths", vo, *some)
        for class_no, count, first in zip(some, parts[::2], parts[1::2], strict=True):
            found[class_no] = (int(count), int(first) if first else None)
    return found


def _older(db: Session, class_no: int, job_id: int) -> tuple[int, bool]:
    older = (Queued.class_no == class_no, Queued.job_id < job_id)
    last = select(Queued.job_id).where(*older).order_by(Queued.job_id).offset(MOST).limit(1)
    if db.scalar(last) is not None:
        return MOST, True
    return db.scalars(select(func.count()).select_from(Queued).where(*older)).one(), False


def _crowd(vo: str, kinds: Sequence[Seen]) -> Iterator[tuple[int, int, tuple[str, str], int]]:
    """Classes that have jobs and for which any of these nodes is eligible."""
    prefix = keys.prefix(vo)
    with redis().pipeline(transaction=False) as pipe:
        for name in ("live", *(f"e:{one.kind}" for one in kinds)):
            pipe.execute_command("GET", f"{prefix}{name}", NEVER_DECODE=True)  # type: ignore[no-untyped-call]
        live, *eligible = pipe.execute()
    slots = list(_slots(live or b"", [one for one in eligible if one]))
    for start in range(0, len(slots), SLICE):
        found = iter(store.run("crowd", vo, *slots[start : start + SLICE]))
        for class_no, count, group, owner, priority in zip(*[found] * 5, strict=True):
            yield int(class_no), int(count), (group, owner), int(priority)


def _slots(live: bytes, eligible: list[bytes]) -> Iterator[int]:
    length = max(map(len, [live, *eligible]))
    any_of = 0
    for one in eligible:
        any_of |= int.from_bytes(one.ljust(length, b"\0"))
    return store.places((any_of & int.from_bytes(live.ljust(length, b"\0"))).to_bytes(length))


def owner_of(of: Class) -> Who:
    """Whose jobs are in a class."""
    return Who(of.job_type, of.group, of.owner)


def is_in_redis(vo: str, job_id: int) -> bool:
    """Whether the matcher can choose the job now."""
    found: Any = redis().getbit(f"{keys.prefix(vo)}in:{job_id // store.CHUNK}", job_id % store.CHUNK)
    return bool(found)


def is_leased(vo: str, job_id: int) -> bool:
    """Whether a node has just taken it, and the database does not say so yet."""
    return redis().zscore(keys.leases(vo), str(job_id)) is not None
