"""Verbs on many, for requests that come one by one at the same time: one transaction carries them out."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import session
from diracx_tasks.core.deadlocks import patiently
from diracx_tasks.core.gather import Gathered
from diracx_tasks.jobs import beats, submissions, updates
from diracx_tasks.jobs.heartbeat import Beat
from diracx_tasks.jobs.submissions import Request
from diracx_tasks.jobs.updates import Applied, Update

# Larger requests have a transaction of their own.
FEW = 20
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Jobs = Mapping[int, Any]


class _Asked(NamedTuple):
    """Something asked about jobs by somebody."""

    jobs: Jobs
    by: User
    force: bool = False


def submit(request: Request) -> list[dict[str, Any]]:
    """Store a submission; the same key at the same time in several requests is one submission."""
    if len(request.jobs) <= FEW:
        return _submit(request)
    try:
        return _alone(submissions.submit_many, request)
    except IntegrityError:
        if request.key is None:
            raise
        # Another request with this key was quicker: it is answered as that one.
        return _alone(submissions.submit_many, request)


def update(jobs: Mapping[int, Sequence[Update]], by: User, *, force: bool) -> Applied:
    """Apply status updates."""
    asked = _Asked(jobs, by, force)
    return _update(asked) if len(jobs) <= FEW else _alone(_update_many, asked)


def beat(jobs: Mapping[int, Beat], by: User) -> list[int]:
    """Note heartbeats; answers the jobs to be killed."""
    asked = _Asked(jobs, by)
    return _beat(asked) if len(jobs) <= FEW else _alone(_beat_many, asked)


def _alone(carry_out: Callable[[Session, list[Asked]], list[Answer]], asked: Asked) -> Answer:
    with session() as db:
        return patiently(db, lambda: carry_out(db, [asked]))[0]


def _update_many(db: Session, asked: list[_Asked]) -> list[Applied]:
    answers: dict[int, Applied] = {}
    for places, jobs, one in _merged(asked):
        found = updates.apply(db, jobs, by=one.by, force=one.force)
        for place in places:
            mine = asked[place].jobs
            success = {job_id: found.success[job_id] for job_id in mine if job_id in found.success}
            answers[place] = Applied(success, [job_id for job_id in mine if job_id not in success])
    return [answers[place] for place in range(len(asked))]


def _beat_many(db: Session, asked: list[_Asked]) -> list[list[int]]:
    answers: dict[int, list[int]] = {}
    for places, jobs, one in _merged(asked):
        killed = set(beats.beat_many(db, jobs, by=one.by))
        for place in places:
            answers[place] = [job_id for job_id in asked[place].jobs if job_id in killed]
    return [answers[place] for place in range(len(asked))]


def _merged(asked: list[_Asked]) -> list[tuple[list[int], dict[int, Any], _Asked]]:
    """What the same person asks about different jobs is one question; about the same job it is several."""
    open_ones: dict[tuple[User, bool], list[tuple[list[int], dict[int, Any], _Asked]]] = defaultdict(list)
    for place, one in enumerate(asked):
        groups = open_ones[one.by, one.force]
        if not groups or not groups[-1][1].keys().isdisjoint(one.jobs):
            groups.append(([], {}, one))
        groups[-1][0].append(place)
        groups[-1][1].update(one.jobs)
    return [group for groups in open_ones.values() for group in groups]


_submit = Gathered(submissions.submit_many)
_update = Gathered(_update_many)
_beat = Gathered(_beat_many)
