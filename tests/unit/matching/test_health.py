"""Nodes and sites on which jobs fail: who is slowed, who is not, and how it ends."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.core.database import reading, session
from diracx_tasks.core.redis import redis
from diracx_tasks.jobs import control, recover
from diracx_tasks.jobs.states import Status
from diracx_tasks.matching import health, keys, sweep
from diracx_tasks.matching.match import match
from tests.builders import VO
from tests.unit.matching.ends import a_node, ended, held, policy, shift, waiting

pytestmark = pytest.mark.usefixtures("installation")
DONE, FAILED, KILLED = Status.DONE, Status.FAILED, Status.KILLED
HOUR = 3600.0


def look(vo: str = VO) -> dict[str, float]:
    """What is slowed after a look: name -> seconds."""
    with reading() as db:
        health.look(db, vo)
    return {name: float(seconds) for name, seconds in policy("slow", vo).items()}


def good_elsewhere(*owners: str) -> None:
    """Each owner's jobs are Done on three other nodes."""
    for owner in owners or ("alice",):
        for node in ("CERN/n2", "RAL/n1", "RAL/n2"):
            ended(1, DONE, node, owner=owner)


def age(seconds: float) -> None:
    """Let everything that is remembered be so much older."""
    key = f"{keys.prefix(VO)}health"
    for name, text in policy("health").items():
        at, *others = json.loads(text)
        redis().hset(key, name, json.dumps([at - seconds, *others]))


def test_a_node_that_fails_everything_is_slowed_within_one_look() -> None:
    good_elsewhere()
    ended(8, FAILED, "CERN/n1")
    slow = look()
    assert slow.keys() == {"CERN/n1"} and 10 < slow["CERN/n1"] <= 600
    (one,) = health.slowed(VO)
    assert (one.site, one.node, one.failed, one.done) == ("CERN", "n1", 8.0, 0.0)


def test_a_slowed_node_gets_one_job_and_is_then_told_to_wait() -> None:
    good_elsewhere()
    ended(8, FAILED, "CERN/n1")
    seconds = look()["CERN/n1"]
    waiting(6)
    assert len(match(VO, a_node("CERN", "n1"), stamp="s", count=3).jobs) == 1
    refused = match(VO, a_node("CERN", "n1"), stamp="s", count=3)
    assert refused.jobs == [] and 0.9 * seconds < refused.retry_after <= seconds
    assert len(match(VO, a_node("CERN", "n3"), stamp="s", count=3).jobs) == 3


def test_jobs_that_fail_everywhere_slow_nobody() -> None:
    for number in range(6):
        ended(6, FAILED, f"CERN/n{number}", owner="bob")
    ended(20, FAILED, "RAL/n1", owner="carol")
    assert look() == {}


def test_broken_jobs_of_one_user_do_not_hide_a_bad_node_nor_harm_a_good_one() -> None:
    good_elsewhere("alice")
    for number in range(1, 5):
        ended(10, FAILED, f"CERN/n{number}", owner="bob")
    ended(8, FAILED, "CERN/n1", owner="alice")
    assert look().keys() == {"CERN/n1"}


def test_many_kinds_of_jobs_of_one_user_that_ran_nowhere_else_slow_nobody() -> None:
    for number in range(12):
        ended(2, FAILED, "CERN/n1", owner="bob", job_type=f"Type{number}")
    assert look() == {}


def test_two_bad_nodes_do_not_excuse_each_other() -> None:
    good_elsewhere()
    ended(30, FAILED, "CERN/n1")
    ended(30, FAILED, "CERN/n9")
    assert look().keys() == {"CERN/n1", "CERN/n9"}


def test_a_node_on_which_half_fails_as_elsewhere_is_left_alone() -> None:
    for number in range(6):
        ended(4, FAILED, f"CERN/n{number}")
        ended(4, DONE, f"CERN/n{number}")
    assert look() == {}


def test_jobs_that_go_on_running_elsewhere_speak_against_a_node_that_fails_at_once() -> None:
    """Nothing of that kind has ended well yet."""
    for number in range(5):
        shift(held(1, site="RAL", node=f"n{number}"), started=HOUR)
    ended(8, FAILED, "CERN/n1")
    assert look().keys() == {"CERN/n1"}


def test_jobs_that_have_just_begun_elsewhere_say_nothing() -> None:
    for number in range(5):
        held(1, site="RAL", node=f"n{number}")
    ended(8, FAILED, "CERN/n1")
    assert look() == {}


def test_a_site_of_bad_nodes_is_slowed_as_a_whole() -> None:
    for number in range(6):
        ended(1, DONE, f"RAL/n{number}")
        ended(6, FAILED, f"CERN/n{number}")
    slow = look()
    assert "CERN" in slow and not any(name.startswith("RAL") for name in slow)
    waiting(4)
    for name in ("new", "newer", ""):
        assert match(VO, a_node("CERN", name), stamp="s").jobs
        refused = match(VO, a_node("CERN", name), stamp="s")
        assert refused.jobs == [] and 1 < refused.retry_after <= slow["CERN"]


def test_with_a_site_its_nodes_wait_no_more() -> None:
    for number in range(6):
        ended(1, DONE, f"RAL/n{number}")
        ended(6, FAILED, f"CERN/n{number}")
    look()
    waiting(3)
    match(VO, a_node("CERN", "new"), stamp="s")
    assert health.release(VO, "CERN") and policy("next") == {}
    assert match(VO, a_node("CERN", "new"), stamp="s").jobs


def test_what_is_known_of_pauses_is_forgotten_when_they_are_over() -> None:
    for number in range(6):
        ended(1, DONE, f"RAL/n{number}")
        ended(6, FAILED, f"CERN/n{number}")
    pauses = {"CERN/old": 1.0, "CERN/new": time.time() + HOUR, "RAL/n1": time.time() + HOUR}
    redis().hset(f"{keys.prefix(VO)}next", mapping=pauses)  # type: ignore[arg-type]
    look()
    assert policy("next").keys() == {"CERN/new"}


def test_a_node_without_a_name_is_judged_with_its_site() -> None:
    for number in range(6):
        ended(1, DONE, f"RAL/n{number}")
    ended(30, FAILED, "CERN/")
    assert look().keys() == {"CERN"}


def test_a_lost_pilot_and_a_job_given_back_are_failures(db: Session) -> None:
    good_elsewhere()
    for job_id in held(4):
        control.reschedule(db, job_id, attempt=1, reason="no container runtime", source="Pilot")
    db.commit()
    held(4)
    with session() as other:
        assert recover.pilots_ended(other, VO, ["stamp"]) == 4
    assert look().keys() == {"CERN/n1"}


def test_killed_jobs_and_jobs_that_their_owner_wanted_back_say_nothing() -> None:
    good_elsewhere()
    ended(10, KILLED, "CERN/n1")
    with session() as db:
        for job_id in held(10):
            control.reschedule(db, job_id, attempt=1, reason="rescheduled by alice", source="JobManager")
    assert look() == {}


def test_a_node_is_released_by_hand_and_slowed_again_only_by_new_failures() -> None:
    good_elsewhere()
    ended(8, FAILED, "CERN/n1")
    look()
    waiting(3)
    match(VO, a_node(), stamp="s")
    assert health.release(VO, "CERN", "n1") is True
    assert match(VO, a_node(), stamp="s").jobs
    assert look() == {} and health.release(VO, "CERN", "n1") is False
    ended(8, FAILED, "CERN/n1")
    assert look().keys() == {"CERN/n1"}


def test_releasing_a_site_releases_its_nodes() -> None:
    good_elsewhere()
    ended(8, FAILED, "CERN/n1")
    ended(8, FAILED, "RAL/n7")
    look()
    assert health.release(VO, "CERN")
    assert look().keys() == {"RAL/n7"}


def test_what_failed_long_ago_is_forgotten() -> None:
    good_elsewhere()
    ended(8, FAILED, "CERN/n1")
    before = look()["CERN/n1"]
    age(HOUR / 2)
    assert 0 < look()["CERN/n1"] < before
    age(2 * HOUR)
    assert look() == {}
    age(12 * HOUR)
    look()
    assert policy("health") == {}


def test_a_node_that_has_been_repaired_is_released_by_what_it_does() -> None:
    good_elsewhere()
    ended(8, FAILED, "CERN/n1")
    assert look()
    ended(10, DONE, "CERN/n1")
    assert look() == {}


def test_an_end_is_counted_once_however_often_and_by_however_many_it_is_looked_at() -> None:
    good_elsewhere()
    ended(8, FAILED, "CERN/n1")
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: look(), range(3)))
    look()
    assert health.slowed(VO)[0].failed == 8.0


def test_an_end_that_is_committed_late_is_still_seen() -> None:
    good_elsewhere()
    late = held(8)
    ended(1, DONE, "CERN/n5")
    look()
    with session() as db:
        for job_id in late:
            control.reschedule(db, job_id, attempt=1, reason="lost", source="Pilot")
    shift(late, started=60, ended_ago=3)
    assert look().keys() == {"CERN/n1"}


def test_an_end_is_counted_once_after_many_looks_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    good_elsewhere()
    ended(8, FAILED, "CERN/n1", ago=2 * health.OVERLAP)
    for _ in range(3):
        look()
    ended(8, FAILED, "CERN/n1", ago=health.OVERLAP / 2)
    for _ in range(3):
        look()
    assert round(health.slowed(VO)[0].failed) == 16


def test_after_a_flush_health_is_made_again_from_the_database() -> None:
    good_elsewhere()
    ended(8, FAILED, "CERN/n1", ago=600)
    ended(8, FAILED, "CERN/n4", ago=5 * HOUR)
    before = look()
    assert before.keys() == {"CERN/n1"}
    redis().flushall()
    with reading() as db:
        sweep.rebuild(db, VO)
    after = look()
    assert after.keys() == before.keys() and abs(after["CERN/n1"] - before["CERN/n1"]) < 1


def test_what_is_too_much_for_one_look_is_taken_by_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "MOST", 3)
    good_elsewhere()
    ended(8, FAILED, "CERN/n1")
    assert look() == {}
    for _ in range(4):
        look()
    assert health.slowed(VO)[0].failed == 8.0


def test_what_fails_in_one_vo_slows_no_other() -> None:
    for node in ("CERN/n2", "RAL/n1", "RAL/n2"):
        ended(1, DONE, node, vo="belle")
    ended(8, FAILED, "CERN/n1", vo="belle")
    assert look() == {} and look("belle").keys() == {"CERN/n1"}
