"""The matcher: the Lua script against a plain oracle, leases, rebuilding, and words."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diracx_tasks.core import database
from diracx_tasks.core.redis import redis
from diracx_tasks.jobs import control
from diracx_tasks.jobs.states import Status
from diracx_tasks.matching import keys, queue
from diracx_tasks.matching.explain import explain
from diracx_tasks.matching.match import Match, Pilot, match
from diracx_tasks.matching.tables import JobClass, Queued
from diracx_tasks.matching.tasks import expire_leases
from tests.builders import ANYWHERE, VO, Installation, a_job

SITES = ["CERN", "RAL", "PIC"]
TAGS = ["gpu", "cvmfs", "himem"]
BIG = Pilot("CERN", "ce", 64, 256_000, "x86_64", TAGS)

some = st.lists(st.sampled_from(SITES), unique=True, max_size=2)
NEEDS = st.fixed_dictionaries(
    {
        "cores": st.integers(1, 4),
        "ram_mb": st.sampled_from([1, 256, 257, 1024, 4096]),
        "sites": some,
        "banned_sites": some,
        "platform": st.sampled_from([None, "x86_64", "aarch64"]),
        "tags": st.lists(st.sampled_from(TAGS), unique=True, max_size=2),
        "priority": st.integers(0, 10),
    }
)
PILOTS = st.builds(
    Pilot,
    st.sampled_from(SITES),
    st.just("ce"),
    st.integers(1, 4),
    st.sampled_from([256, 512, 1024, 4096]),
    st.sampled_from([None, "x86_64", "aarch64"]),
    st.lists(st.sampled_from(TAGS), unique=True),
)
FIXTURE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def fits(needs: dict[str, Any], pilot: Pilot) -> bool:
    """The oracle."""
    return (
        needs["cores"] <= pilot.cores
        and -(-needs["ram_mb"] // 256) * 256 <= pilot.ram_mb
        and (not needs["sites"] or pilot.site in needs["sites"])
        and pilot.site not in needs["banned_sites"]
        and needs["platform"] in (None, pilot.platform)
        and set(needs["tags"]) <= set(pilot.tags)
    )


def waiting(*needs: dict[str, Any], vo: str = VO) -> list[int]:
    with database.session() as db:
        return [a_job(db, requirements=one, vo=vo) for one in needs]


def ask(pilot: Pilot = BIG, count: int = 1, vo: str = VO) -> list[Match]:
    with database.session() as db:
        return match(db, vo, pilot, stamp=secrets.token_hex(4), count=count)


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=FIXTURE)
@given(needs=st.lists(NEEDS, max_size=8), pilots=st.lists(PILOTS, max_size=6), count=st.integers(1, 4))
def test_the_script_chooses_as_the_oracle_does(
    installation: Installation, needs: list[dict[str, Any]], pilots: list[Pilot], count: int
) -> None:
    vo = secrets.token_hex(4)
    left = dict(zip(waiting(*needs, vo=vo), needs, strict=True))
    for pilot in pilots:
        order = sorted((-one["priority"], job_id) for job_id, one in left.items() if fits(one, pilot))
        wanted = [job_id for _, job_id in order[:count]]
        found = [one.job_id for one in ask(pilot, count, vo)]
        assert found == wanted
        for job_id in found:
            del left[job_id]


@given(needs=NEEDS)
def test_the_order_of_lists_and_a_little_ram_make_no_new_class(needs: dict[str, Any]) -> None:
    turned = {
        key: list(reversed(value)) if isinstance(value, list) else value for key, value in needs.items()
    }
    assert queue.class_of(VO, turned) == queue.class_of(VO, needs)
    assert queue.class_of(VO, {**needs, "priority": 3}) == queue.class_of(VO, {**needs, "priority": 7})
    assert queue.class_of("other", needs) != queue.class_of(VO, needs)
    assert queue.normalised(needs)["ram_mb"] % 256 == 0
    assert queue.normalised(queue.normalised(needs)) == queue.normalised(needs)


def test_a_class_is_stored_once_however_many_jobs_it_has(db: Session) -> None:
    for ram in (1, 100, 256):
        a_job(db, requirements={"ram_mb": ram})
    assert db.scalar(select(func.count()).select_from(JobClass)) == 1


@given(
    priority=st.integers(-100, 100),
    other=st.integers(-100, 100),
    job=st.integers(1, 2**32),
    later=st.integers(1, 2**32),
)
def test_a_place_is_exact_and_priority_comes_first(priority: int, other: int, job: int, later: int) -> None:
    first, second = (queue.Entry(n, VO, p, ANYWHERE) for n, p in ((job, priority), (later, other)))
    clamped = [max(0, min(10, p)) for p in (priority, other)]
    assert (first.place < second.place) == ((-clamped[0], job) < (-clamped[1], later))


def test_eight_threads_never_get_a_job_twice(installation: Installation) -> None:
    made = waiting(*[ANYWHERE] * 60)

    def work(_: int) -> list[int]:
        found: list[int] = []
        while jobs := ask(count=3):
            found += [job.job_id for job in jobs]
        return found

    with ThreadPoolExecutor(8) as threads:
        given_ = [job_id for found in threads.map(work, range(8)) for job_id in found]
    assert sorted(given_) == made
    assert redis().zcard(keys.leases(VO)) == 0


def test_a_job_taken_in_a_transaction_that_failed_returns(installation: Installation) -> None:
    (job_id,) = waiting(ANYWHERE)
    with pytest.raises(RuntimeError), database.session() as db:
        assert match(db, VO, BIG, stamp="x")
        raise RuntimeError
    assert ask() == []
    redis().zadd(keys.leases(VO), {str(job_id): 1})
    assert expire_leases.run() == "1 returned"
    assert [one.job_id for one in ask()] == [job_id]


def test_a_lease_of_a_job_that_was_claimed_after_all_changes_nothing(installation: Installation) -> None:
    (job_id,) = waiting(ANYWHERE)
    ask()
    redis().zadd(keys.leases(VO), {str(job_id): 1})
    assert expire_leases.run() == "0 returned"
    assert ask() == [] and redis().zcard(keys.leases(VO)) == 0


def test_after_a_flush_the_queue_is_rebuilt_while_pilots_ask(installation: Installation) -> None:
    made = waiting(*[ANYWHERE] * 30)
    early = [one.job_id for one in ask(count=5)]
    installation.redis.flush()
    assert ask() == []
    with database.reading() as db:
        assert queue.rebuild(db, VO) == 25
        assert queue.rebuild(db, VO) == 25
    late = [one.job_id for one in ask(count=100)]
    assert early + late == made


def test_a_stale_entry_is_refused_by_the_database(installation: Installation) -> None:
    first, second = waiting(ANYWHERE, ANYWHERE)
    with database.session() as db:
        control.kill_all(db, [first], "because of a test")
    assert [one.job_id for one in ask(count=2)] == [second]


def test_a_rescheduled_job_is_matched_again(installation: Installation) -> None:
    (job_id,) = waiting(ANYWHERE)
    assert ask()[0].attempt == 1
    with database.session() as db:
        control.reschedule(db, job_id, attempt=1, reason="r", source="Test")
    from diracx_tasks.jobs.tasks import optimize

    optimize.run()
    assert [(one.job_id, one.attempt) for one in ask()] == [(job_id, 2)]


def why(job_id: int) -> str:
    with database.reading() as db:
        return " ".join(explain(db, job_id))


def test_without_pilots_the_reason_says_so(installation: Installation) -> None:
    (job_id,) = waiting(ANYWHERE)
    assert "No pilot has asked for work" in why(job_id)


@pytest.mark.parametrize(
    "needs, words",
    [
        ({"cores": 128}, "It asks for 128 cores; the pilots at CERN have 64."),
        ({"ram_mb": 512_000}, "It asks for 512000 MB of RAM; the pilots at CERN have 256000."),
        ({"sites": ["PIC", "RAL"]}, "It may only run at PIC, RAL; pilots ask from CERN."),
        ({"banned_sites": ["CERN"]}, "It must not run at CERN."),
        ({"platform": "arm"}, "It needs the platform arm; CERN offers x86_64."),
        ({"tags": ["fpga", "gpu"]}, "It needs the tags fpga, which the pilots at CERN lack."),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_misfit_is_explained_with_the_numbers(
    installation: Installation, needs: dict[str, Any], words: str
) -> None:
    (job_id,) = waiting(needs)
    assert ask() == []
    assert words in why(job_id)


def test_who_fits_learns_how_many_are_ahead(installation: Installation) -> None:
    *_, last = waiting(*[ANYWHERE] * 4)
    ask()
    assert why(last).startswith("2 jobs of its kind are ahead; a pilot that fits last asked")
    ask(count=10)
    assert why(last) == ""


def test_only_waiting_jobs_are_queued(db: Session) -> None:
    for status in (Status.RECEIVED, Status.RUNNING, Status.DONE, Status.KILLED):
        a_job(db, status)
    assert db.scalars(select(Queued.job_id)).all() == []


def test_old_kinds_of_pilots_are_forgotten(installation: Installation) -> None:
    (job_id,) = waiting(ANYWHERE)
    redis().hset(keys.seen(VO), '{"site": "old"}', "1")
    why(job_id)
    ask()
    assert redis().hget(keys.seen(VO), '{"site": "old"}') is None
