"""Submission of job descriptions: many at once, parametric ones, each request once however often it comes."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Executable, bindparam, delete, insert, select, tuple_
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed, now, plain, utc, utc_now
from diracx_tasks.core.errors import BadRequest, Conflict
from diracx_tasks.core.many import insert_many
from diracx_tasks.core.operations import operations, resources
from diracx_tasks.core.origin import origin
from diracx_tasks.core.packed import plain as as_json
from diracx_tasks.core.packed import unpacked
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


REMEMBERED = ("VO", "Owner", "IdempotencyKey", "Digest", "Answer", "SubmittedAt")


class Answer(NamedTuple):
    """What was answered: the jobs' numbers, and the words that are the same for all."""

    jobs: list[int]
    words: dict[str, Any]


@dataclass(frozen=True, eq=False)
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
    ads, counts = _parsed(texts)
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
    owner = metadata.Owner.of(by)
    found = []
    for place, ad in enumerate(ads):
        try:
            about = describe(
                ad, owner=by.name, group=by.group, vo=by.vo, operations=rules, platforms=platforms
            )
        except InvalidJdl as error:
            raise _named(error, place, originals or ()) from None
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
    before = _answered(db, requests)
    fresh = [request for request in requests if request not in before]
    simple = [request for request in fresh if request.total == len(request.jobs)]
    ids = iter(create(db, [job for request in simple for job in request.jobs]))
    words = {"TimeStamp": utc(now())}
    answers = {}
    for request in fresh:
        is_simple = request.total == len(request.jobs)
        numbers = [next(ids) for _ in request.jobs] if is_simple else [_begin(db, request)]
        first = ACCEPTED if is_simple else EXPANDING
        answers[request] = Answer(numbers, {"Status": first.to.value, "MinorStatus": first.minor, **words})
    _remember(db, answers)
    return [_shown(before[one] if one in before else answers[one]) for one in requests]


def forget(db: Session) -> int:
    """Forget a page of answers that are older than KEPT_DAYS; answers how many."""
    old = select(Submission.vo, Submission.owner, Submission.key)
    old = old.where(Submission.at < utc_now(-KEPT_DAYS * 86400)).order_by(Submission.at).limit(AT_ONCE)
    keys = [tuple(row) for row in db.execute(old)]
    if not keys:
        return 0
    these = tuple_(Submission.vo, Submission.owner, Submission.key).in_(keys)
    return changed(db, delete(Submission).where(these))


def _parsed(texts: Sequence[str]) -> tuple[list[Ad], list[int | None]]:
    """The descriptions, and how many jobs each is that is parametric."""
    ads: list[Ad] = []
    counts = []
    try:
        for text in texts:
            ads.append(ad := jdl.parse(text))
            counts.append(parametric.count(ad))
    except InvalidJdl as error:
        raise _named(error, len(counts), texts) from None
    return ads, counts


def _named(error: InvalidJdl, place: int, texts: Sequence[str]) -> InvalidJdl:
    """The error, which says which one of several descriptions is meant."""
    if len(texts) < 2:
        return error
    return InvalidJdl(f"description {place + 1}: {error}", error.line, error.column)


def _begin(db: Session, request: Request) -> int:
    """The first job of a parametric one; a task makes the others."""
    (job_id,) = create(db, [replace(request.jobs[0], original=request.text)], EXPANDING)
    values = {"job_id": job_id, "total": request.total, "made": 1, "group": request.by.group}
    db.execute(insert(Parametric).values(**values))
    ask_to_expand(db, job_id)
    return job_id


def ask_to_expand(db: Session, job_id: int) -> None:
    """Have the other jobs of a parametric one made after this transaction."""
    enqueue(db, "jobs.expand", expanding_key(job_id), job_id=job_id)


def expanding_key(job_id: int) -> str:
    """The key of the task that makes the other jobs of a parametric one."""
    return f"job-{job_id}.expand"


def _answered(db: Session, requests: Sequence[Request]) -> dict[Request, Answer]:
    """The requests that came before, with their answers; Conflict when one asks for something else now."""
    keyed = {(one.by.vo, one.by.name, one.key): one for one in requests if one.key is not None}
    if not keyed:
        return {}
    found = {}
    for vo, owner, key, digest, answer in db.connection().execute(_known(), {"keys": list(keyed)}):
        request = keyed.get((vo, owner, key))
        if request is None:
            continue
        if digest != request.digest:
            raise Conflict(f"the idempotency key {key!r} was used for another submission")
        found[request] = Answer(**unpacked(answer))
    return found


@lru_cache(1)
def _known() -> Executable:
    columns = (Submission.vo, Submission.owner, Submission.key, Submission.digest, Submission.answer)
    return select(*columns).where(tuple_(*columns[:3]).in_(bindparam("keys", expanding=True)))


def _remember(db: Session, answers: Mapping[Request, Answer]) -> None:
    rows = [
        (one.by.vo, one.by.name, one.key, one.digest, as_json(answer._asdict()), now())
        for one, answer in answers.items()
        if one.key is not None
    ]
    insert_many(db, plain(Submission), REMEMBERED, rows)


def _shown(answer: Answer) -> list[dict[str, Any]]:
    return [{"JobID": number, **answer.words} for number in answer.jobs]
