"""Why a job waits that some nodes fit: others are before it, or something holds it back."""

import os

import pytest

from diracx_tasks.core import database
from diracx_tasks.core.redis import redis
from diracx_tasks.matching import ahead, keys, sweep, waiting
from diracx_tasks.matching.match import match, take
from diracx_tasks.matching.node import node_of
from tests.builders import VO, Installation, an_administrator, environment
from tests.unit.matching.asking import RAL, a_node, asked, ban, queued, recount, said, why
from tests.unit.matching.ends import configured, held


def test_who_fits_learns_what_is_ahead_and_when_a_node_asked(installation: Installation) -> None:
    jobs = queued(3)
    (sooner,) = queued(requirements={"priority": 9})
    queued(2, owner="bob")
    asked(a_node(), ago=30)
    found = why(jobs[-1])

    assert found.ahead == ahead.Ahead(same=2, sooner=1, competing=3, classes=2)
    assert found.last_asked_seconds is not None and 30 <= found.last_asked_seconds < 60
    assert found.reasons[0].startswith("1 kind of nodes fits, at CERN; one of them last asked 3")
    assert "2 jobs of its class are ahead" in found.reasons[1]
    assert "About 1 job of alice in user with a higher priority than 5 goes first." in found.reasons
    assert any(text.startswith("About 2 jobs of other classes want the same nodes") for text in found.reasons)
    assert found.advice[-1].startswith("A higher priority puts it before other jobs of alice: it is 5")
    assert found.unmet == []
    assert why(sooner).ahead == ahead.Ahead(same=0, sooner=0, competing=5, classes=2)


def test_a_job_without_others_is_next(installation: Installation) -> None:
    (job_id,) = queued()
    asked(a_node())

    assert "It is next: the next of these nodes that has room gets it." in said(job_id)


def test_jobs_that_want_other_nodes_do_not_compete(installation: Installation) -> None:
    (job_id,) = queued()
    queued(2, requirements={"sites": ["RAL"]})
    asked(a_node())

    assert why(job_id).ahead == ahead.Ahead(same=0)


def test_of_very_many_ahead_it_is_said_that_there_are_more(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = queued(4)
    asked(a_node())
    monkeypatch.setattr(ahead, "MOST", 2)

    assert "More than 2 jobs of its class are ahead" in said(jobs[-1])
    assert "2 jobs of its class are ahead" in said(jobs[2]) and "More" not in said(jobs[2])


def test_nodes_that_have_not_asked_for_long_may_be_gone(installation: Installation) -> None:
    (job_id,) = queued()
    asked(a_node(), ago=waiting.GONE + 100)
    assert "They may be gone" in said(job_id)
    asked(a_node(), ago=4000)
    assert "No node has asked for work within the last hour." in said(job_id)


LIMITED = """Operations:
  lhcb:
    JobScheduling:
      RunningLimit: {CERN: {JobType: {User: 3}}}
"""


def test_a_full_limit_is_named_with_who_holds_it(installation: Installation) -> None:
    with configured(installation, LIMITED):
        held(2, owner="bob"), held(1, owner="carol")
        (job_id,) = queued()
        recount()
        asked(a_node())
        found = why(job_id)

        assert "No more jobs like it may start there now." in found.reasons
        full = "CERN is full of jobs of the type User: 3 run, 3 may"
        assert f"{full} (bob 2, carol 1)." in found.reasons
        assert any("RunningLimit" in text for text in found.advice)
        asked(node_of(**RAL))
        text = said(job_id)
        assert "Limits hold it back at some of them; it may start at RAL." in text and full in text


def test_nodes_that_did_not_say_where_they_are_do_no_harm(installation: Installation) -> None:
    (job_id,) = queued(requirements={"cores": 128})
    asked(a_node(site=""))

    assert "no node of the last hour has more than 64" in said(job_id)
    asked(a_node(site="", cores=128))
    assert why(job_id).last_asked_seconds is not None


def test_who_sees_only_his_own_jobs_does_not_learn_who_holds_a_limit(installation: Installation) -> None:
    closed = f"{LIMITED}    Services: {{JobMonitoring: {{GlobalJobsInfo: false}}}}\n"
    with configured(installation, closed):
        held(3, owner="bob")
        (job_id,) = queued()
        recount()
        asked(a_node())

        assert "3 run, 3 may (others 3)." in said(job_id)
        assert "3 run, 3 may (bob 3)." in said(job_id, an_administrator())


def test_while_nothing_is_counted_what_is_limited_waits_and_says_so(installation: Installation) -> None:
    with configured(installation, LIMITED):
        (job_id,) = queued()
        asked(a_node())
        found = why(job_id)

        assert "CERN limits jobs of the type User to 3, and how many run has not been counted lately." in (
            found.reasons
        )
        assert any("matching.recount" in text for text in found.advice)


def test_a_matching_delay_is_told(installation: Installation) -> None:
    delayed = "Operations: {lhcb: {JobScheduling: {MatchingDelay: {CERN: {Owner: {alice: 500}}}}}}\n"
    with configured(installation, delayed):
        _, second = queued(2)
        assert len(match(VO, a_node(), stamp="stamp").jobs) == 1

        assert "CERN starts one of the jobs of the owner alice every 500 s." in said(second)


def test_a_site_that_is_slowed_is_told(installation: Installation) -> None:
    (job_id,) = queued()
    asked(a_node())
    redis().hset(f"{keys.prefix(VO)}slow", "CERN", "45")
    found = why(job_id)

    assert any(text.startswith("Jobs fail at CERN (lately ") for text in found.reasons)
    assert any("gets one every 45 s at most" in text for text in found.reasons)
    assert any("diracx matching health" in text for text in found.advice)


def test_a_site_that_is_banned_is_told_before_and_after_its_nodes_ask(installation: Installation) -> None:
    named, free = queued(requirements={"sites": ["CERN"]})[0], queued()[0]
    asked(a_node())
    ban("CERN")

    for _ in range(2):
        assert "CERN is banned: power cut." in why(named).reasons
        assert why(named).advice == [waiting.BACK]
        assert "No more jobs like it may start there now." in why(free).reasons
        installation.redis.flush()
        with database.reading() as db:
            sweep.rebuild(db, VO)
        asked(a_node())
    (test,) = queued(job_type="Test")
    assert "banned" not in said(test)
    asked(node_of(**RAL))
    assert "CERN is banned: power cut." in said(free) and "it may start at RAL." in said(free)
    (other,) = queued(requirements={"sites": ["CERN"], "cores": 500})
    assert "CERN, where it may run, is banned: power cut." in said(other)


def test_after_a_loss_of_redis_the_queue_is_said_to_be_made_again(
    installation: Installation,
) -> None:
    (job_id,) = queued()
    installation.redis.flush()
    asked(a_node())
    text = said(job_id)

    assert "The matcher's queue is being made from the database" in text
    assert "It has not reached the matcher yet" in text
    with database.reading() as db:
        sweep.rebuild(db, VO)
    assert "It is next" in said(job_id)


def test_a_job_that_a_node_has_just_taken_is_told_so(installation: Installation) -> None:
    (job_id,) = queued()
    assert [one.job_id for one in take(VO, a_node()).taken] == [job_id]

    assert "A node has just taken it, and has not confirmed that yet." in said(job_id)


def test_without_redis_it_says_so(installation: Installation) -> None:
    (job_id,) = queued()
    known = {name: value for name, value in os.environ.items() if name.startswith("DIRACX_")}
    with environment(**{**known, "DIRACX_REDIS_URL": "redis://127.0.0.1:1/0"}):
        found = why(job_id)

    assert found.reasons[0].startswith("The matcher's Redis does not answer")
    assert found.advice
