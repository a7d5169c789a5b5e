"""What attempts have used of their nodes: stored once, at their end, and summed up by the names of jobs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from diracx_tasks.core.database import plain
from diracx_tasks.jobs.tables import AttemptUse, Job, Payload

# What a pilot states, and the columns.
NAMES = {
    "cpu_seconds": "CPUSeconds",
    "wall_seconds": "WallSeconds",
    "memory_mb": "MemoryMB",
    "disk_mb": "DiskMB",
}
KEY = ("JobID", "Attempt")
PAGE = 1000
Use = Mapping[str, float]


def note(db: Session, used: Sequence[tuple[int, int, Use]]) -> None:
    """Store what attempts have used: job, attempt, and the numbers by NAMES. Twice is harmless.

    The caller has made sure that the attempts are the reporter's.
    """
    if not used:
        return
    rows = [
        {"JobID": job_id, "Attempt": attempt} | {column: use[name] for name, column in NAMES.items()}
        for job_id, attempt, use in sorted(used, key=lambda one: one[:2])
    ]
    table = plain(AttemptUse)
    if db.get_bind().dialect.name == "sqlite":
        lite = sqlite.insert(table)
        new = {column: lite.excluded[column] for column in NAMES.values()}
        db.execute(lite.on_conflict_do_update(index_elements=KEY, set_=new), rows)
    else:
        big = mysql.insert(table)
        new = {column: big.inserted[column] for column in NAMES.values()}
        db.execute(big.on_duplicate_key_update(new), rows)


def of_job(db: Session, job_id: int) -> dict[int, dict[str, float]]:
    """What each attempt of a job has used, as far as its pilot has said so."""
    found = db.scalars(select(AttemptUse).where(AttemptUse.job_id == job_id))
    return {one.attempt: {name: getattr(one, name) for name in NAMES} for one in found}


@dataclass
class Spread:
    """The smallest, the mean and the largest of a number of values."""

    least: float = 0.0
    most: float = 0.0
    total: float = 0.0
    count: int = 0

    def add(self, count: int, least: float, mean: float, most: float) -> None:
        """Take in `count` values."""
        self.least = min(self.least, least) if self.count else least
        self.most = max(self.most, most)
        self.total += mean * count
        self.count += count

    @property
    def mean(self) -> float | None:
        """None of no values."""
        return self.total / self.count if self.count else None


@dataclass
class Summary:
    """Jobs of one name: how many, what they asked for (each requirement with its count), what was used.

    `used` is of those of `measured` jobs whose last attempt has told; `paid_seconds` is their wall time
    times the cores that they had asked for.
    """

    jobs: int = 0
    measured: int = 0
    paid_seconds: float = 0.0
    asked: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    used: dict[str, Spread] = field(default_factory=lambda: {name: Spread() for name in NAMES})


def summed(db: Session, vo: str, job_group: str) -> dict[str, Summary]:
    """A workflow's jobs by name. The database sums up; one row comes for each set of requirements."""
    found: dict[str, Summary] = defaultdict(Summary)
    rows = db.execute(_sums(db, vo, job_group)).all()
    asked = _requirements(db, [row[1] for row in rows])
    for name, example, jobs, measured, *numbers in rows:
        summary, requirements = found[name], asked[example]
        summary.jobs += jobs
        summary.asked.append((requirements, jobs))
        if measured:
            summary.measured += measured
            for spread, three in zip(summary.used.values(), _in_threes(numbers), strict=True):
                spread.add(measured, *three)
            wall_seconds = numbers[3 * list(NAMES).index("wall_seconds") + 1]
            summary.paid_seconds += measured * wall_seconds * (requirements.get("cores") or 1)
    return dict(found)


def _sums(db: Session, vo: str, job_group: str) -> Any:
    columns = [getattr(AttemptUse, name) for name in NAMES]
    numbers = [of(column) for column in columns for of in (func.min, func.avg, func.max)]
    # Whoever runs again counts with his last attempt.
    current = (AttemptUse.job_id == Job.job_id) & (AttemptUse.attempt == Job.attempt)
    query = select(Job.name, func.min(Job.job_id), func.count(), func.count(AttemptUse.job_id), *numbers)
    joined = query.join(Payload, Payload.job_id == Job.job_id).outerjoin(AttemptUse, current)
    # MariaDB groups long texts on the disk.
    is_lite = db.get_bind().dialect.name == "sqlite"
    alike: Any = Payload.requirements if is_lite else func.crc32(Payload.requirements)
    # The description of any job may state the group.
    mine = (Job.job_group == job_group, Job.vo == vo, Payload.owner_id == int(job_group))
    return joined.where(*mine).group_by(Job.name, alike)


def _requirements(db: Session, job_ids: list[int]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for first in range(0, len(job_ids), PAGE):
        page = Payload.job_id.in_(job_ids[first : first + PAGE])
        found |= dict(db.execute(select(Payload.job_id, Payload.requirements).where(page)).all())
    return found


def _in_threes(numbers: Sequence[float]) -> Iterable[tuple[float, float, float]]:
    return zip(numbers[0::3], numbers[1::3], numbers[2::3], strict=True)
