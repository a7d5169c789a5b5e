"""Submission of job descriptions: many at once, parametric ones, each request once however often it comes."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import delete, insert, select, tuple_
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed, now, utc, utc_now
from diracx_tasks.core.errors import BadRequest, Conflict
from diracx_tasks.core.operations import operations, resources
from diracx_tasks.core.origin import origin
from diracx_tasks.core.packed import packed, unpacked
from diracx_tasks.core.settings import settings
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.jobs import jdl, parametric
from diracx_tasks.jobs.ad import Ad, InvalidJdl, render
from diracx_tasks.jobs.manifest import describe
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change
from diracx_tasks.jobs.submit import ACCEPTED, NUMBER, NewJob, create
from diracx_tasks.jobs.tables import Parametric, Submission
from diracx_tasks.sandboxes import metadata

# What is wider is expanded by a task; its first job stands for it until then.
AT_ONCE = 1000
KEPT_DAYS = 7
EXPANDING = Change(Status.SUBMITTING, "Parametric job is expanded", "Unknown", "JobManager")


@dataclass(frozen=True)
class Request:
    """A submission that has been understood; `total` is what a parametric job, `text`, comes to."""

    jobs: Sequence[NewJob]
    text: str
    by: User
    total: int
    key: str | None
    digest: str


def understand(texts: Sequence[str], *, by: User, key: str | None) -> Request:
    """What is to be stored of descriptions; InvalidJdl says which one is wrong, where and why."""
    if not texts:
        raise InvalidJdl("JDL syntax error: there is no description")
    most = settings().jobs_at_once
    if len(texts) > most:
        raise BadRequest(f"Normal user cannot submit more than {most} jobs at once")
    ads = [_parsed(text, place if len(texts) > 1 else 0) for place, text in enumerate(texts, 1)]
    counts = [parametric.count(ad) for ad in ads]
    wide = [count for count in counts if count is not None]
    if wide and len(texts) > 1:
        raise BadRequest("You cannot submit parametric jobs in a bulk fashion")
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    if not wide:
        return Request(new_jobs(ads, by, texts), texts[0], by, len(ads), key, digest)
    if wide[0] > most:
        raise BadRequest(f"Normal user cannot submit more than {most} jobs at once")
    stop = wide[0] if wide[0] <= AT_ONCE else 1
    jobs = new_jobs(parametric.expand(ads[0], 0, stop), by)
    return Request(jobs, texts[0], by, wide[0], key, digest)


def new_jobs(ads: Iterable[Ad], by: User, originals: Sequence[str] | None = None) -> list[NewJob]:
    """Jobs from descriptions that are not parametric; `originals` are their texts where they were sent."""
    rules, platforms = operations(by.vo), resources().Computing.OSCompatibility
    owner = metadata.Owner(by.name, by.group, by.vo)
    found = []
    for place, ad in enumerate(ads):
        about = describe(ad, owner=by.name, group=by.group, vo=by.vo, operations=rules, platforms=platforms)
        metadata.refuse_foreign(about.input_sandbox, owner)
        found.append(
            NewJob(
                name=about.job_name,
                vo=by.vo,
                owner=by.name,
                group=by.group,
                payload=about.payload,
                requirements=about.requirements,
                job_group=about.job_group,
                job_type=about.job_type,
                site=about.site,
                jdl=about.jdl(NUMBER),
                original=originals[place] if originals else render(ad),
                input_data=about.input_data,
                input_sandbox=about.input_sandbox,
                trace=origin().trace,
            )
        )
    return found


def submit_many(db: Session, requests: Sequence[Request]) -> list[list[dict[str, Any]]]:
    """Store several submissions; answers each one's jobs in DiracX's words.

    A request whose key was used before is answered as then and stores nothing; Conflict when it asks for
    something else than then.
    """
    before = [_answered(db, request) for request in requests]
    fresh = [request for request, known in zip(requests, before, strict=True) if known is None]
    simple = [request for request in fresh if request.total == len(request.jobs)]
    ids = iter(create(db, [job for request in simple for job in request.jobs]))
    moment = utc(now())
    answers = []
    for request, known in zip(requests, before, strict=True):
        if known is not None:
            answers.append(known)
            continue
        is_simple = request.total == len(request.jobs)
        numbers = [next(ids) for _ in request.jobs] if is_simple else [_begin(db, request)]
        first = ACCEPTED if is_simple else EXPANDING
        words = {"Status": first.to.value, "MinorStatus": first.minor, "TimeStamp": moment}
        _remember(db, request, numbers, words)
        answers.append([{"JobID": number, **words} for number in numbers])
    return answers


def forget(db: Session) -> int:
    """Forget a page of answers that are older than KEPT_DAYS; answers how many."""
    old = select(Submission.vo, Submission.owner, Submission.key)
    old = old.where(Submission.at < utc_now(-KEPT_DAYS * 86400)).order_by(Submission.at).limit(AT_ONCE)
    keys = [tuple(row) for row in db.execute(old)]
    if not keys:
        return 0
    these = tuple_(Submission.vo, Submission.owner, Submission.key).in_(keys)
    return changed(db, delete(Submission).where(these))


def _parsed(text: str, place: int) -> Ad:
    try:
        return jdl.parse(text)
    except InvalidJdl as error:
        if not place:
            raise
        raise InvalidJdl(f"description {place}: {error}", error.line, error.column) from error


def _begin(db: Session, request: Request) -> int:
    """The first job of a parametric one; a task makes the others."""
    (job_id,) = create(db, [replace(request.jobs[0], original=request.text)], EXPANDING)
    values = {"job_id": job_id, "total": request.total, "made": 1, "group": request.by.group}
    db.execute(insert(Parametric).values(**values))
    enqueue(db, "jobs.expand", f"job-{job_id}.expand", job_id=job_id)
    return job_id


def _answered(db: Session, request: Request) -> list[dict[str, Any]] | None:
    if request.key is None:
        return None
    key = (request.by.vo, request.by.name, request.key)
    found = db.execute(
        select(Submission.digest, Submission.answer).where(
            Submission.vo == key[0], Submission.owner == key[1], Submission.key == key[2]
        )
    ).one_or_none()
    if found is None:
        return None
    if found.digest != request.digest:
        raise Conflict(f"the idempotency key {request.key!r} was used for another submission")
    stored = unpacked(found.answer)
    return [{"JobID": number, **stored["words"]} for number in stored["jobs"]]


def _remember(db: Session, request: Request, numbers: list[int], words: dict[str, Any]) -> None:
    if request.key is None:
        return
    db.execute(
        insert(Submission).values(
            vo=request.by.vo,
            owner=request.by.name,
            key=request.key,
            digest=request.digest,
            answer=packed({"jobs": numbers, "words": words}),
            at=now(),
        )
    )
