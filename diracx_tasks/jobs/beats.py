"""Heartbeats of many jobs at once: what each payload uses is kept, and who must stop it is told."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, exists, func, select, tuple_, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from diracx_tasks.auth.rights import ADMIN
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed, now, plain, utc, utc_now
from diracx_tasks.core.errors import Forbidden, NotFound
from diracx_tasks.jobs import parameters
from diracx_tasks.jobs.deadlines import due
from diracx_tasks.jobs.heartbeat import ALIVE, Beat, keep
from diracx_tasks.jobs.states import FINAL, Status
from diracx_tasks.jobs.status import Held, New, hold, write_told
from diracx_tasks.jobs.tables import Attempt, Heartbeat, Job

LOST = (Status.MATCHED, Status.STALLED)
SOURCE = "Heartbeat"


def beat_many(db: Session, beats: Mapping[int, Beat], *, by: User) -> list[int]:
    """Note that payloads live; answers the jobs whose payload must be killed.

    Of a pilot only the current attempts that it holds live; a job that is not there any more is one that it
    must stop. NotFound and Forbidden concern the whole call: nothing is noted then.
    """
    # DIRAC's wrapper speaks with its owner's token.
    columns: dict[Any, Any] = {Job.heartbeat_at: utc_now(), Job.next_check_at: due(Status.RUNNING)}
    mine = [Job.job_id.in_(beats), Job.status.in_(ALIVE), *_of(beats, by)]
    alive = changed(db, update(Job).where(*mine).values(columns))
    killed = [] if alive == len(beats) else _others(db, beats, by)
    living = {job_id: beat for job_id, beat in beats.items() if job_id not in killed}
    _note(db, living)
    if by.pilot_stamp:
        keep(db, living)
    outputs = {job_id: {parameters.OUTPUT: one.log} for job_id, one in living.items() if one.log is not None}
    if outputs and not by.pilot_stamp:
        parameters.record(db, outputs, dict.fromkeys(outputs, by.vo))
    return killed


def beats_of(db: Session, job_id: int) -> list[dict[str, Any]]:
    """The heartbeats of a job, oldest first."""
    query = select(Heartbeat.at, Heartbeat.usage).where(Heartbeat.job_id == job_id).order_by(Heartbeat.at)
    return [{"HeartBeatTime": utc(at), **orjson.loads(usage)} for at, usage in db.execute(query)]


def newest(db: Session, job_id: int) -> datetime | None:
    """When the last heartbeat of a job came that told of its use; None when there is none."""
    return db.scalar(select(func.max(Heartbeat.at)).where(Heartbeat.job_id == job_id))


def _of(beats: Mapping[int, Beat], by: User) -> Sequence[ColumnElement[bool]]:
    """What makes jobs somebody's to speak for."""
    if by.pilot_stamp:
        held = exists().where(
            Attempt.job_id == Job.job_id, Attempt.attempt == Job.attempt, Attempt.pilot == by.pilot_stamp
        )
        stated = [(job_id, beat.attempt) for job_id, beat in beats.items() if beat.attempt is not None]
        unstated = [job_id for job_id, beat in beats.items() if beat.attempt is None]
        current = tuple_(Job.job_id, Job.attempt).in_(stated)
        return [Job.vo == by.vo, held, current if not unstated else current | Job.job_id.in_(unstated)]
    return [Job.vo == by.vo] if ADMIN in by.properties else [Job.vo == by.vo, Job.owner == by.name]


def _others(db: Session, beats: Mapping[int, Beat], by: User) -> list[int]:
    """The jobs among these that are over; those that were taken to be lost run again."""
    held = hold(db, beats)
    for job_id in beats:
        # Of a pilot's it was removed while the pilot was cut off, whose other jobs live.
        is_foreign = held[job_id].vo != by.vo if job_id in held else not by.pilot_stamp
        if is_foreign:
            raise NotFound(f"Job {job_id} not found")
    spoken = _spoken_for(db, held, beats, by)
    over = [job_id for job_id, job in held.items() if job_id not in spoken or job.status in FINAL]
    killed = {*over, *(job_id for job_id in beats if job_id not in held)}
    living = [job for job_id, job in held.items() if job_id not in killed]
    _run_again(db, [job for job in living if job.status in LOST], by)
    # Those that run have been noted before.
    quiet = [job.job_id for job in living if job.status not in (*LOST, *ALIVE)]
    if quiet:
        changed(db, update(Job).where(Job.job_id.in_(quiet)).values({Job.heartbeat_at: utc_now()}))
    return [job_id for job_id in beats if job_id in killed]


def _run_again(db: Session, jobs: Sequence[Held], by: User) -> None:
    moment, minor = now().replace(microsecond=0), "Application" if by.pilot_stamp else ""
    begun = {job.job_id: None if job.is_started else moment for job in jobs}
    news = [
        New(job, Status.RUNNING, minor, started_at=begun[job.job_id], heartbeat_at=moment) for job in jobs
    ]
    write_told(db, [(new, SOURCE) for new in news])


def _spoken_for(db: Session, held: Mapping[int, Held], beats: Mapping[int, Beat], by: User) -> set[int]:
    """The jobs for whose current attempt the sender speaks; not those where his own is over."""
    if not by.pilot_stamp:
        for job in held.values():
            if ADMIN not in by.properties and job.owner != by.name:
                raise Forbidden(f"job {job.job_id} belongs to {job.owner} of {job.vo}")
        return set(held)
    pilots: dict[int, dict[int, str]] = defaultdict(dict)
    query = select(Attempt.job_id, Attempt.attempt, Attempt.pilot).where(Attempt.job_id.in_(held))
    for job_id, attempt, pilot in db.execute(query):
        pilots[job_id][attempt] = pilot
    return {job_id for job_id, job in held.items() if _may(job, beats[job_id].attempt, pilots[job_id], by)}


def _may(job: Held, stated: int | None, pilots: Mapping[int, str], by: User) -> bool:
    """Whether a pilot speaks for a job's current attempt; False when its own is over."""
    attempt = job.attempt if stated is None else stated
    if attempt not in pilots and stated is not None:
        raise NotFound(f"there is no attempt {attempt} of a job {job.job_id} in {job.vo}")
    if pilots.get(attempt) != by.pilot_stamp:
        if by.pilot_stamp in pilots.values() and stated is None:
            return False
        raise Forbidden(f"attempt {attempt} of job {job.job_id} belongs to the pilot {pilots.get(attempt)}")
    return attempt == job.attempt


def _note(db: Session, beats: Mapping[int, Beat]) -> None:
    moment = now()
    rows = [
        {"JobID": job_id, "HeartBeatTime": moment, "Usage": orjson.dumps(beat.usage).decode()}
        for job_id, beat in beats.items()
        if beat.usage
    ]
    if rows:
        table = plain(Heartbeat)
        if db.get_bind().dialect.name == "sqlite":
            db.execute(sqlite.insert(table).on_conflict_do_nothing(), rows)
        else:
            made = mysql.insert(table)
            db.execute(made.on_duplicate_key_update(Usage=made.inserted.Usage), rows)
