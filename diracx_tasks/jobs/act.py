"""Kill, delete, remove or reschedule many held jobs in one transaction: what was done, and why not the rest.

Each job has the consequences that it has when it is named alone.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import utc_now
from diracx_tasks.jobs import control, to_count
from diracx_tasks.jobs.purge import NEWS_SECONDS
from diracx_tasks.jobs.remove import PAGE, newest, remove
from diracx_tasks.jobs.reschedule import AGAIN, reschedule_jobs
from diracx_tasks.jobs.states import FINAL, Status, can_become
from diracx_tasks.jobs.status import Held
from diracx_tasks.jobs.tables import Attempt, Payload

REMOVED = "removed"
CAN_BE_KILLED = can_become(Status.KILLED)
CAN_BE_DELETED = CAN_BE_KILLED | can_become(Status.DELETED)


class Action(StrEnum):
    """What may be done to many jobs."""

    KILL = "kill"
    DELETE = "delete"
    REMOVE = "remove"
    RESCHEDULE = "reschedule"


# The statuses from which each is possible.
POSSIBLE = {
    Action.KILL: CAN_BE_KILLED,
    Action.DELETE: CAN_BE_DELETED,
    Action.REMOVE: FINAL,
    Action.RESCHEDULE: AGAIN,
}
# Each job that is to run again is described anew from what was submitted.
AT_ONCE = {Action.RESCHEDULE: 100}


@dataclass
class Done:
    """How many jobs became what, and those that stay as they are by the reason."""

    changed: dict[str, int] = field(default_factory=dict)
    kept: dict[str, list[int]] = field(default_factory=dict)

    def became(self, what: str, count: int) -> None:
        """Count jobs that became something."""
        if count:
            self.changed[what] = self.changed.get(what, 0) + count

    def keep(self, why: str, job_ids: Iterable[int]) -> None:
        """Note jobs that stay as they are."""
        for job_id in job_ids:
            self.kept.setdefault(why, []).append(job_id)


def at_once(action: Action) -> int:
    """How many jobs one transaction takes."""
    return AT_ONCE.get(action, PAGE)


def act(db: Session, action: Action, jobs: Collection[Held], *, by: User) -> Done:
    """Do it to held jobs that are the caller's to change."""
    done = Done()
    possible = [job for job in jobs if job.status in POSSIBLE[action]]
    for job in jobs:
        if job.status not in POSSIBLE[action]:
            done.keep(_why_not(action, job), [job.job_id])
    if possible:
        _DEEDS[action](db, possible, by, done)
    return done


def _kill(db: Session, jobs: Sequence[Held], by: User, done: Done) -> None:
    control.kill_held(db, jobs, f"by {by.name}")
    done.became(Status.KILLED, len(jobs))


def _delete(db: Session, jobs: Sequence[Held], by: User, done: Done) -> None:
    control.delete_held(db, jobs, f"by {by.name}")
    done.became(Status.DELETED, len(jobs))


def _reschedule(db: Session, jobs: Sequence[Held], by: User, done: Done) -> None:
    found = reschedule_jobs(db, [job.job_id for job in jobs], by=by)
    done.became(Status.RECEIVED, len(found["success"]))
    for job_id, failure in found["failed"].items():
        done.keep(str(failure["detail"]).removeprefix(f"job {job_id} "), [job_id])


def _remove(db: Session, jobs: Sequence[Held], by: User, done: Done) -> None:
    """Remove what nobody will speak of any more; the others are Deleted, and removed when that is over."""
    there = {job.job_id: job for job in jobs}
    owned = _owned(db, there)
    done.keep("a step of a workflow, which is removed with its jobs", owned)
    for job_id in owned:
        del there[job_id]
    fresh = _spoken_of(db, there)
    last = db.scalar(select(newest()))
    gone = [job_id for job_id in there if job_id not in fresh and job_id != last]
    remove(db, gone)
    done.became(REMOVED, len(gone))
    later = [job for job_id, job in there.items() if job_id not in gone]
    unmarked = [job for job in later if job.status != Status.DELETED]
    control.delete_held(db, unmarked, f"by {by.name}")
    done.became(Status.DELETED, len(unmarked))
    marked = [job.job_id for job in later if job.status == Status.DELETED]
    done.keep("Deleted already: removed an hour after its last change", marked)


def _owned(db: Session, job_ids: Collection[int]) -> Sequence[int]:
    """The jobs that belong to a workflow."""
    owned = select(Payload.job_id).where(Payload.job_id.in_(job_ids), Payload.owner_task.is_not(None))
    return db.scalars(owned.order_by(Payload.job_id)).all()


def _spoken_of(db: Session, job_ids: Collection[int]) -> set[int]:
    """The jobs of which a pilot may still speak, or whose use has not been counted."""
    recent = or_(Attempt.ended_at.is_(None), Attempt.ended_at > utc_now(-NEWS_SECONDS))
    spoken_of = db.scalars(select(Attempt.job_id).where(Attempt.job_id.in_(job_ids), recent))
    return {*spoken_of, *to_count.uncounted(db, job_ids)}


def _why_not(action: Action, job: Held) -> str:
    if action is Action.REMOVE:
        return f"{job.status}: it has not ended; kill it first"
    to = {Action.KILL: Status.KILLED, Action.DELETE: Status.DELETED}.get(action, Status.RESCHEDULED)
    return f"{job.status} already" if job.status == to else f"{job.status}: it cannot become {to}"


_DEEDS: dict[Action, Callable[[Session, Sequence[Held], User, Done], None]] = {
    Action.KILL: _kill,
    Action.DELETE: _delete,
    Action.REMOVE: _remove,
    Action.RESCHEDULE: _reschedule,
}
