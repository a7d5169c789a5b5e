"""Heartbeats of many jobs at once: what each payload uses is kept, and who must stop it is told."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import ColumnElement, exists, select, tuple_, update
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
from diracx_tasks.jobs.status import Change, Held, hold, move
from diracx_tasks.jobs.tables import Attempt, Heartbeat, Job

LOST = (Status.MATCHED, Status.STALLED)


def beat_many(db: Session, beats: Mapping[int, Beat], *, by: User) -> list[int]:
    """Note that payloads live; answers the jobs whose payload must be killed.

    Of a pilot only the current attempts that it holds live; a job that is not there any more is one that it
    must stop. NotFound and Forbidden concern the whole call: nothing is noted then.
    """
    # DIRAC's wrapper speaks with its owner's token.
    columns: dict[Any, Any] = {Job.heartbeat_at: utc_now(), Job.next_check_at: due(Status.RUNNING)}
    mine = [Job.job_id.in_(beats), Job.status.in_(ALIVE), *_of(beats, by)]
    alive = changed(db, update(Job).where(*mine).values(columns))
    killed = [] if alive == len(beats) else _others(db, beats, by, columns)
    living = {job_id: beat for job_id, beat in beats.items() if job_id not in killed}
    _note(db, living)
    for job_id, one in living.items():
        if by.pilot_stamp:
            keep(db, job_id, one)
    outputs = {job_id: {parameters.OUTPUT: one.log} for job_id, one in living.items() if one.log is not None}
    if outputs and not by.pilot_stamp:
        parameters.record(db, outputs, dict.fromkeys(outputs, by.vo))
    return killed


def beats_of(db: Session, job_id: int) -> list[dict[str, Any]]:
    """The heartbeats of a job, oldest first."""
    query = select(Heartbeat.at, Heartbeat.usage).where(Heartbeat.job_id == job_id).order_by(Heartbeat.at)
    return [{"HeartBeatTime": utc(at), **orjson.loads(usage)} for at, usage in db.execute(query)]


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


def _others(db: Session, beats: Mapping[int, Beat], by: User, columns: dict[Any, Any]) -> list[int]:
    """The jobs among these that are over; those that were taken to be lost run again."""
    held = hold(db, beats)
    killed = []
    for job_id, one in beats.items():
        job = held.get(job_id)
        if job is None and by.pilot_stamp:
            # It was removed while its pilot was cut off, whose other jobs live.
            killed.append(job_id)
            continue
        if job is None or job.vo != by.vo:
            raise NotFound(f"Job {job_id} not found")
        if not _may(db, job, one, by) or job.status in FINAL:
            killed.append(job_id)
        elif job.status in LOST:
            change = Change(
                Status.RUNNING,
                minor="Application" if by.pilot_stamp else "",
                source="Heartbeat",
                columns={column.key: value for column, value in columns.items()},
            )
            move(db, job_id, change, attempt=job.attempt, frm=LOST)
        else:
            changed(db, update(Job).where(Job.job_id == job_id).values({Job.heartbeat_at: utc_now()}))
    return killed


def _may(db: Session, job: Held, one: Beat, by: User) -> bool:
    """Whether the sender speaks for the job's current attempt; False when his own is over."""
    if not by.pilot_stamp:
        if ADMIN not in by.properties and job.owner != by.name:
            raise Forbidden(f"job {job.job_id} belongs to {job.owner} of {job.vo}")
        return True
    query = select(Attempt.attempt, Attempt.pilot).where(Attempt.job_id == job.job_id)
    pilots = dict(db.execute(query).all())
    attempt = one.attempt if one.attempt is not None else job.attempt
    if attempt not in pilots and one.attempt is not None:
        raise NotFound(f"there is no attempt {attempt} of a job {job.job_id} in {job.vo}")
    if pilots.get(attempt) != by.pilot_stamp:
        if by.pilot_stamp in pilots.values() and one.attempt is None:
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
