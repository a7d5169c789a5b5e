"""Why a job is where it is, in words that say what to change; whatever its status."""

from collections.abc import Callable, Iterator

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.jobs.access import sees_all
from diracx_tasks.jobs.deadlines import patience
from diracx_tasks.jobs.standing import Standing, standing
from diracx_tasks.jobs.states import FINAL, Status
from diracx_tasks.matching.waiting import Why, waiting
from diracx_tasks.matching.words import span

__all__ = ["Why", "explain"]
# The optimizer looks every so many seconds at least.
OPTIMIZER = 30
SILENT = ("Unknown", "", None)
Words = Iterator[str]


def explain(db: Session, job_id: int, *, by: User) -> Why:
    """Sentences, advice and numbers about a job that the caller may see; NotFound otherwise."""
    job = standing(db, job_id, by=by)
    why = Why(job_id, job.status)
    if job.status == Status.WAITING:
        try:
            waiting(db, why, job.vo, sees_all=sees_all(by))
        except (RedisError, Unavailable):
            why.reasons.append(
                "The matcher's Redis does not answer: no job is given to a node until it does."
            )
            why.advice.append(
                "Ask the operators. Nothing is lost: the queue is made again from the database."
            )
        if job.since is not None:
            why.reasons.append(f"It has been waiting for {span(job.since)}.")
    else:
        why.reasons += _SENTENCES.get(job.status, _other)(job)
        why.advice += _advice(job)
    if job.lost and job.status not in FINAL and job.reschedules:
        why.reasons.append(_before(job))
    return why


def _early(job: Standing) -> Words:
    if job.expands:
        made, total = job.expands
        yield f"It is one of {total} jobs of a parametric one: {made} have been made so far."
    else:
        yield f"It is being submitted{_detail(job)}; it goes on when all of its bulk is there."


def _received(job: Standing) -> Words:
    yield f"The optimizer has not seen it yet{_detail(job)}: it looks every {OPTIMIZER} s."
    if job.since is not None:
        yield f"It was received {span(job.since)} ago."


def _checking(job: Standing) -> Words:
    yield f"What it asks for and its input data are being checked{_detail(job)}."
    yield from _for(job)
    if job.left is not None:
        yield f"It is looked at again in {span(max(job.left, 0) + OPTIMIZER)} at the latest."


def _staging(job: Standing) -> Words:
    yield f"Its input data is being brought from tape to disk{_detail(job)}: only then it waits for a node."
    yield from _for(job)


def _matched(job: Standing) -> Words:
    yield f"A pilot has it and has not started it yet: {_place(job)}."
    yield from _for(job)
    if job.left is not None:
        yield f"If the pilot does not start it within {span(job.left)}, another one gets it."


def _running(job: Standing) -> Words:
    yield f"It runs: {_place(job)}{_detail(job)}."
    if job.silent is not None:
        yield f"The last sign of life came {span(job.silent)} ago."


def _stalled(job: Standing) -> Words:
    least = patience().seconds(Status.RUNNING, job.interval)
    every = f"every {job.interval:g} s"
    yield f"Its pilot, which reports {every}, has been silent for {span(least)} or longer: {_place(job)}."
    if job.silent is not None:
        yield f"The last sign of life came {span(job.silent)} ago."
    if job.left is not None:
        yield f"If nothing is heard within {span(job.left)}, another pilot gets it."


def _completing(job: Standing) -> Words:
    yield f"Its payload has ended and its outputs are being stored{_detail(job)}: {_place(job)}."


def _completed(job: Standing) -> Words:
    yield f"Its payload has ended{_detail(job)}; what is left to do with its outputs is under way."


def _rescheduled(job: Standing) -> Words:
    yield "It is to run again: the optimizer puts it back into the queue."
    yield from _for(job)


def _ended(job: Standing) -> Words:
    words: dict[str, str] = {
        Status.DONE: "It has ended well",
        Status.FAILED: "It has failed",
        Status.KILLED: "It was killed",
        Status.DELETED: "It was deleted",
    }
    ago = f" {span(job.since)} ago" if job.since is not None else ""
    yield f"{words[job.status]}{ago}{_detail(job)}."
    if job.site:
        yield f"It ran here: {_place(job)}."


def _other(job: Standing) -> Words:
    yield f"It is in a status of DIRAC's that says no more{_detail(job)}."
    yield from _for(job)


_SENTENCES: dict[str, Callable[[Standing], Words]] = {
    Status.SUBMITTING: _early,
    Status.RECEIVED: _received,
    Status.CHECKING: _checking,
    Status.SCOUTING: _checking,
    Status.STAGING: _staging,
    Status.MATCHED: _matched,
    Status.RUNNING: _running,
    Status.STALLED: _stalled,
    Status.COMPLETING: _completing,
    Status.COMPLETED: _completed,
    Status.RESCHEDULED: _rescheduled,
    **dict.fromkeys(FINAL, _ended),
}


def _advice(job: Standing) -> Words:
    late = job.since is not None and job.since > 2 * OPTIMIZER
    if job.status in (Status.RECEIVED, Status.RESCHEDULED, Status.SUBMITTING):
        yield (
            "Ask the operators whether a Celery worker runs jobs.optimize: `diracx tasks queues` shows it."
            if late
            else "Wait: it takes seconds."
        )
    elif job.status in (Status.CHECKING, Status.SCOUTING, Status.STAGING):
        yield "Wait; if it lasts for hours, ask the operators of the data."
    elif job.status == Status.STALLED:
        again = job.most_reschedules - job.reschedules
        yield (
            f"Wait: it is given to other pilots {again} times at most."
            if again > 0
            else "It has been given to other pilots as often as it may: if the pilot stays silent, it fails."
        )
    elif job.status == Status.FAILED:
        yield f"See its output with `diracx jobs logs {job.job_id}`."


def _detail(job: Standing) -> str:
    known = [text.strip().rstrip(".") for text in (job.minor, job.application) if text not in SILENT]
    return f" ({': '.join(known)})" if known else ""


def _place(job: Standing) -> str:
    node = f" on {job.node}" if job.node else ""
    return f"pilot {job.pilot} at {job.site}{node}" if job.pilot else "a pilot that is not known"


def _for(job: Standing) -> Words:
    if job.since is not None:
        yield f"It has been so for {span(job.since)}."


def _before(job: Standing) -> str:
    again = f"{job.reschedules} of {job.most_reschedules} times"
    return f"It has been rescheduled {again}, last because of this: {job.lost.strip().rstrip('.')}."
