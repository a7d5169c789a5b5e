"""The door of a job's status, by a machine that calls everything in any order."""

import secrets
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core import database
from diracx_tasks.core.errors import Conflict, DiracXError
from diracx_tasks.jobs import beats, control, heartbeat, optimize, recover, status
from diracx_tasks.jobs.states import FINAL, HELD, TRANSITIONS, Status
from diracx_tasks.jobs.status import Change, Outcome
from diracx_tasks.jobs.tables import Attempt, Ended, Job, JobEvent, Result
from diracx_tasks.matching.tables import Queued
from tests.builders import VO, Installation, a_job, a_pilot, a_user, claim

ATTEMPTS = st.integers(1, 5)
REPORTED = st.sampled_from([Status.RUNNING, Status.COMPLETING, Status.DONE, Status.FAILED])


class Door(RuleBasedStateMachine):
    """One job, and everybody who may want something of it."""

    def __init__(self) -> None:
        super().__init__()
        self.db = Session(database.engine(), expire_on_commit=False)
        self.job_id = a_job(self.db, Status.RECEIVED, owner_task="workflows.advance", owner_id=1)
        self.db.commit()
        self.was = self.job
        self.pilots: dict[int, str] = {}

    @property
    def job(self) -> tuple[str, int, int, datetime | None]:
        """Status, attempt, reschedules and end."""
        columns = Job.status, Job.attempt, Job.reschedules, Job.ended_at
        found = self.db.execute(select(*columns).where(Job.job_id == self.job_id)).one()
        return found[0], found[1], found[2], found[3]

    def pilot_of(self, attempt: int) -> str:
        return self.pilots.get(attempt, "nobody")

    @rule()
    def optimize(self) -> None:
        optimize.optimize(self.db)

    @rule()
    def match(self) -> None:
        stamp = secrets.token_hex(4)
        before = self.job
        attempt = claim(self.db, self.job_id, pilot=stamp)
        assert (attempt is not None) == (before[0] == Status.WAITING)
        if attempt is not None:
            assert attempt == before[1] and attempt not in self.pilots
            self.pilots[attempt] = stamp
            self.db.execute(delete(Queued))

    @rule(attempt=ATTEMPTS, to=REPORTED)
    def report(self, attempt: int, to: Status) -> None:
        before = self.job
        news = heartbeat.Report(attempt, Change(to, outputs={"a": 1} if to is Status.DONE else None))
        try:
            heartbeat.report(self.db, self.job_id, [news], by=a_pilot(self.pilot_of(attempt)))
        except DiracXError:
            assert self.job == before
        if attempt != before[1]:
            assert self.job == before

    @rule(attempt=ATTEMPTS)
    def beat(self, attempt: int) -> None:
        before = self.job
        try:
            pilot = a_pilot(self.pilot_of(attempt))
            lives = not beats.beat_many(self.db, {self.job_id: heartbeat.Beat(attempt)}, by=pilot)
        except DiracXError:
            assert attempt not in self.pilots
            return
        assert lives == (attempt == before[1] and before[0] in HELD)
        if not lives:
            assert self.job == before

    @rule(attempt=ATTEMPTS)
    def reschedule(self, attempt: int) -> None:
        before = self.job
        outcome = control.reschedule(self.db, self.job_id, attempt=attempt, reason="r", source="Test")
        if outcome is not Outcome.APPLIED:
            assert self.job == before
        elif before[2] < 3:
            assert self.job[:3] == (Status.RECEIVED, attempt + 1, before[2] + 1)
        else:
            assert self.job[0] == Status.FAILED

    @rule()
    def fall_silent(self) -> None:
        overdue = database.utc_now(-1)
        held = update(Job).where(Job.job_id == self.job_id, Job.status.in_(HELD))
        self.db.execute(held.values(next_check_at=overdue).execution_options(synchronize_session=False))
        for job_id in recover.overdue(self.db):
            recover.check(self.db, job_id)

    @rule()
    def lose_the_pilot(self) -> None:
        recover.pilots_ended(self.db, VO, [self.pilot_of(self.job[1])])

    @precondition(lambda self: self.job[2] > 0 or self.job[0] in (*FINAL, Status.STALLED))
    @rule()
    def kill(self) -> None:
        before = self.job
        try:
            control.kill(self.db, self.job_id, by=a_user())
        except Conflict:
            assert before[0] in (Status.DONE, Status.FAILED)
        else:
            assert self.job[0] == Status.KILLED

    @rule(to=st.sampled_from(list(Status)), attempt=ATTEMPTS)
    def move_as_the_map_forbids(self, to: Status, attempt: int) -> None:
        before = self.job
        if attempt == before[1] and to in TRANSITIONS[Status(before[0])]:
            return
        outcome = status.move(self.db, self.job_id, Change(to), attempt=attempt)
        assert outcome is (Outcome.LATE if attempt < before[1] else Outcome.REFUSED)
        assert self.job == before

    @invariant()
    def what_is_final_stays_final(self) -> None:
        now, was = self.job, self.was
        assert was[0] not in FINAL or now == was
        assert now[1] >= was[1] and now[2] >= was[2]
        assert (now[3] is not None) == (now[0] in FINAL)
        self.was = now

    @invariant()
    def events_are_numbered_without_gaps(self) -> None:
        query = select(JobEvent.number, JobEvent.status).where(JobEvent.job_id == self.job_id)
        rows = self.db.execute(query.order_by(JobEvent.number)).all()
        assert [row.number for row in rows] == list(range(1, len(rows) + 1))
        assert rows[-1].status == self.job[0]

    @invariant()
    def only_the_newest_attempt_is_open_and_only_while_it_is_held(self) -> None:
        query = select(Attempt.attempt).where(Attempt.job_id == self.job_id, Attempt.ended_at.is_(None))
        open_ones = list(self.db.scalars(query))
        assert open_ones == ([self.job[1]] if self.job[0] in HELD else [])

    @invariant()
    def what_waits_is_queued_and_nothing_else_is(self) -> None:
        queued = list(self.db.scalars(select(Queued.job_id)))
        assert queued == ([self.job_id] if self.job[0] == Status.WAITING else [])

    @invariant()
    def the_owner_hears_of_the_end_once(self) -> None:
        ended = list(self.db.scalars(select(Ended.status)))
        assert ended == ([self.job[0]] if self.job[0] in FINAL else [])
        results = list(self.db.scalars(select(Result.attempt)))
        assert results == ([self.job[1]] if self.job[0] == Status.DONE else [])

    @invariant()
    def a_deadline_stands_while_a_pilot_holds_it(self) -> None:
        deadline = self.db.execute(select(Job.next_check_at).where(Job.job_id == self.job_id)).scalar()
        assert (deadline is not None) == (self.job[0] in HELD)

    def teardown(self) -> None:
        self.db.rollback()
        for table in reversed(database.Table.metadata.sorted_tables):
            self.db.execute(table.delete())
        self.db.commit()
        self.db.close()


def test_whatever_the_order_of_calls_the_door_holds(installation: Installation) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    profile = settings(
        max_examples=60, stateful_step_count=25, deadline=None, database=None, suppress_health_check=checks
    )
    run_state_machine_as_test(Door, settings=profile)


@pytest.mark.parametrize("last", sorted(FINAL - {Status.DELETED}))
@pytest.mark.parametrize("to", list(Status))
def test_a_final_job_becomes_nothing_else(db: Session, last: Status, to: Status) -> None:
    job_id = a_job(db, last)
    if to in TRANSITIONS[last]:
        return
    assert status.move(db, job_id, Change(to), attempt=1) is Outcome.REFUSED


def test_a_killed_job_that_is_deleted_is_told_of_once(db: Session) -> None:
    job_id = a_job(db, Status.KILLED, owner_task="workflows.advance", owner_id=1)
    assert status.move(db, job_id, Change(Status.DELETED), attempt=1) is Outcome.APPLIED
    assert list(db.scalars(select(Ended.status))) == [Status.KILLED]


def test_a_job_that_does_not_exist_cannot_be_moved(db: Session) -> None:
    with pytest.raises(DiracXError, match="there is no job 4711"):
        status.move(db, 4711, Change(Status.RUNNING), attempt=1)


def test_the_builders_lead_where_they_say(db: Session, tmp_path: Path) -> None:
    for wanted in (Status.RECEIVED, Status.WAITING, Status.COMPLETING, *HELD, *(FINAL - {Status.DELETED})):
        job_id = a_job(db, wanted)
        assert db.execute(select(Job.status).where(Job.job_id == job_id)).scalar_one() == wanted
