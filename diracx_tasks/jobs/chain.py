"""What a job goes through between Received and Waiting: the optimizers of a VO, asked one after the other.

A package adds one with an entry point of the group `diracx.optimizers`; the VO's section JobScheduling says
with `Optimizers` which are asked, and in which order.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from diracx_tasks.core.deadlocks import may_pass
from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.operations import job_scheduling
from diracx_tasks.jobs.input_data import resolve
from diracx_tasks.jobs.verdicts import Candidate, Hold, Narrow, Refuse, Verdict, words_of

GROUP = "diracx.optimizers"
Optimizer = Callable[[Session, str, Sequence[Candidate]], Mapping[int, Verdict]]
OURS: dict[str, Optimizer] = {"InputData": resolve}
# Whether jobs are given back to the queue at once: the first of all, as it looks at nothing.
DELAYS = "RescheduleDelays"
# Who speaks for the chain as a whole.
SOURCE = "JobScheduling"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judged:
    """A job as its optimizers have left it; without `verdict` it may be queued. `by` is who said so."""

    job: Candidate
    verdict: Hold | Refuse | None = None
    by: str = ""


def judge(db: Session, vo: str, jobs: Sequence[Candidate]) -> list[Judged]:
    """What the optimizers of a VO say of its jobs: each is asked once about all that are left.

    One that fails holds the jobs that it was asked about, and no others.
    """
    try:
        optimizers = [(DELAYS, _delayed), *_optimizers(vo)]
    except SettingsError as error:
        return [Judged(job, Hold(str(error)), SOURCE) for job in jobs]
    found, left = [], list(jobs)
    for name, ask in optimizers:
        said = _answers(db, vo, name, ask, left) if left else {}
        still: list[Candidate] = []
        for job in left:
            match said.get(job.job_id):
                case Hold(_, int() | float() | None) | Refuse() as verdict:
                    found.append(Judged(job, verdict, name))
                case Narrow(requirements) if isinstance(requirements, Mapping):
                    still.append(replace(job, requirements=requirements))
                case None:
                    still.append(job)
                case other:
                    # Whoever is neither held nor passed on would be the first of each batch for ever.
                    words = f"the optimizer {name} has answered {str(other)[:60]!r}, which is no verdict"
                    found.append(Judged(job, Hold(words), name))
        left = still
    return [*found, *(Judged(job) for job in left)]


def _optimizers(vo: str) -> list[tuple[str, Optimizer]]:
    """A VO's optimizers with their names; SettingsError when one is not there."""
    return [(name, _optimizer(name)) for name in job_scheduling(vo).Optimizers]


@lru_cache(64)
def _optimizer(name: str) -> Optimizer:
    if name in OURS:
        return OURS[name]
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        known = ", ".join([*OURS, *sorted(points)])
        raise SettingsError(f"there is no optimizer {name!r}; there are {known} ({GROUP})")
    found: Optimizer = points[name].load()
    return found


def _answers(
    db: Session, vo: str, name: str, ask: Optimizer, jobs: Sequence[Candidate]
) -> Mapping[int, Verdict]:
    try:
        said = ask(db, vo, jobs)
        if not isinstance(said, Mapping):
            raise TypeError(f"it answers {type(said).__name__}, no mapping of verdicts")
    except Exception as error:
        # Nothing has been written yet: the task looks at the same jobs again.
        if isinstance(error, SQLAlchemyError) and may_pass(error):
            raise
        log.exception("the optimizer %s of %s cannot judge %d jobs", name, vo, len(jobs))
        return {job.job_id: Hold(f"the optimizer {name} has failed: {words_of(error)}") for job in jobs}
    return said


def _delayed(_: Session, vo: str, jobs: Sequence[Candidate]) -> dict[int, Verdict]:
    """Jobs that have been given back wait a little, the longer the more often: the fault may be their own."""
    delays: Sequence[float] = job_scheduling(vo).RescheduleDelays
    found: dict[int, Any] = {}
    for job in jobs:
        if delays and job.reschedules and not job.is_held:
            seconds = delays[min(job.reschedules, len(delays)) - 1]
            if seconds:
                found[job.job_id] = Hold(f"rescheduled {job.reschedules} times", seconds)
    return found
