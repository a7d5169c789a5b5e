"""The model of jobs' lives: it is always the same, and finds each thing that may be wrong with a job."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.bench.lifecycle_model import (
    DONE,
    FAILED,
    KILLED,
    LOST,
    RESCHEDULED,
    Event,
    Life,
    Model,
    differences,
)

MODEL = Model(1, reschedules=2, faults=True)
JOBS = range(1, 2001)
# Where the first job with each fate is, and one that loses a pilot.
ORDINARY = next(job for job in JOBS if MODEL.fate(job) == (*DONE, 0))
UNLUCKY = next(job for job in JOBS if MODEL.fate(job) == (*DONE, 1))
DOOMED = next(job for job in JOBS if MODEL.fate(job)[:2] == LOST)


def the_life(job_id: int, attempts: int | None = None) -> Life:
    """A job as it must be, with an attempt more where so many are wanted."""
    fate = MODEL.fate(job_id)
    last = attempts or fate.attempts
    life = Life(fate.status, fate.minor, last)
    life.events = [Event("Received", "Job accepted", "", 0.0, "JobManager")]
    for number in range(1, last + 1):
        status = fate.status if number == last else RESCHEDULED
        is_told = status == "Done" or fate[:2] == FAILED
        used = MODEL.cpu_seconds(job_id, number) if is_told and number == last else None
        life.attempts[number], life.records[number] = status, (status, used)
        life.events += [Event(one, "", "", float(number), "Test") for one in ("Matched", "Running", status)]
    return life


def wrong(job_id: int, life: Life, model: Model = MODEL, **told: str) -> list[str]:
    return list(model.wrong(job_id, life, {int(one[1:]): status for one, status in told.items()}))


@pytest.mark.parametrize("job_id", [ORDINARY, UNLUCKY, DOOMED])
def test_a_job_that_is_as_it_must_be_is_not_complained_about(job_id: int) -> None:
    assert wrong(job_id, the_life(job_id)) == []


def test_fates_are_drawn_in_their_parts_and_the_same_each_time() -> None:
    fates = Counter(MODEL.fate(job)[:2] for job in JOBS)
    assert set(fates) == {DONE, FAILED, KILLED, LOST}
    assert 100 < fates[FAILED] < 220 and fates[DONE] > 1700
    assert fates == Counter(Model(1, reschedules=2, faults=True).fate(job)[:2] for job in JOBS)
    assert fates != Counter(Model(2, reschedules=2, faults=True).fate(job)[:2] for job in JOBS)


def test_without_faults_no_pilot_is_lost() -> None:
    quiet = replace(MODEL, faults=False)
    assert not any(quiet.loses(job, 1) for job in JOBS)
    assert {MODEL.loses(job, 1) for job in JOBS} == {"", "Matched", "Running", "Beaten", "Application"}


def test_another_end_is_found() -> None:
    life = the_life(ORDINARY)
    life.status, life.minor = FAILED
    assert any("is Failed" in words for words in wrong(ORDINARY, life))


def test_a_lost_attempt_that_is_missing_is_found() -> None:
    assert any("must have 2" in words for words in wrong(UNLUCKY, the_life(UNLUCKY, 1)))


def test_an_attempt_too_many_is_wrong_unless_something_was_killed() -> None:
    life = the_life(ORDINARY, 2)
    assert any("has 2 attempts, must have 1" in words for words in wrong(ORDINARY, life))
    assert wrong(ORDINARY, life, replace(MODEL, kills=True)) == []


def test_an_end_that_was_acknowledged_and_is_another_now_is_found() -> None:
    assert wrong(UNLUCKY, the_life(UNLUCKY), a2="Done") == []
    assert any("for its pilots" in words for words in wrong(UNLUCKY, the_life(UNLUCKY), a1="Done"))
    assert any("for its pilots" in words for words in wrong(UNLUCKY, the_life(UNLUCKY), a2="Failed"))


def test_accounts_that_are_missing_or_wrong_are_found() -> None:
    life = the_life(UNLUCKY)
    life.records.pop(1)
    assert any("accounted" in words for words in wrong(UNLUCKY, life))
    life = the_life(ORDINARY)
    life.records[1] = "Done", 0.5
    assert any("has used 0.5 s" in words for words in wrong(ORDINARY, life))


def test_an_event_twice_is_found() -> None:
    life = the_life(ORDINARY)
    life.events.append(life.events[2])
    assert any("recorded twice" in words for words in wrong(ORDINARY, life))


def test_an_open_attempt_before_the_last_is_found() -> None:
    life = the_life(UNLUCKY)
    life.attempts[1], life.records[1] = "Matched", ("Matched", None)
    assert any("attempts that ended" in words for words in wrong(UNLUCKY, life))


def test_a_job_too_many_is_found() -> None:
    lives = {ORDINARY: the_life(ORDINARY), UNLUCKY: the_life(UNLUCKY)}
    assert differences(MODEL, lives, {}, 2) == []
    assert differences(MODEL, lives, {}, 1) == ["1 jobs were submitted, 2 are there"]
