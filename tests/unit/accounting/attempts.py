"""Attempts that have ended, with what they used, and what was counted of them."""

from typing import Any

from diracx_tasks.accounting import report, usage
from diracx_tasks.accounting.report import Question
from diracx_tasks.core.database import reading, session
from diracx_tasks.jobs import attempt_use
from diracx_tasks.jobs.states import Status
from tests.builders import VO, an_administrator
from tests.unit.matching.ends import ended

USE = {"cpu_seconds": 30.0, "wall_seconds": 40.0, "memory_mb": 512.0, "disk_mb": 20.5}
LONG_AGO = 600.0


def measured(count: int, status: Status = Status.DONE, node: str = "CERN/n1", **about: Any) -> list[int]:
    """Jobs that ended a while ago and whose pilots have told what they used, committed."""
    use = {**USE, **about.pop("use", {})}
    jobs = ended(count, status, node, ago=about.pop("ago", LONG_AGO), **about)
    with session() as db:
        attempt_use.note(db, [(job_id, 1, use) for job_id in jobs])
    return jobs


def gather() -> int:
    """How many were taken by one transaction."""
    with session() as db:
        return usage.gather(db)


def used(*by: str, vo: str = VO, **asked: Any) -> list[report.Used]:
    """What an administrator sees of the last week."""
    with reading() as db:
        return report.usage(db, Question(by, **asked), by=an_administrator(vo=vo))


def sums(*by: str, **asked: Any) -> dict[tuple[Any, ...], tuple[int, float]]:
    """Attempts and CPU seconds by group."""
    return {tuple(one.of.values()): (one.attempts, one.cpu_seconds) for one in used(*by, **asked)}
