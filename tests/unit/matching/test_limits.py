"""Running limits and matching delays: read from the configuration, counted, never exceeded."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.core.config import config
from diracx_tasks.core.database import reading, session
from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.redis import redis
from diracx_tasks.jobs import control, use
from diracx_tasks.jobs.states import Status
from diracx_tasks.matching import limits, sweep
from diracx_tasks.matching.limits import Counted
from diracx_tasks.matching.match import match, take
from tests.builders import VO, Installation
from tests.unit.matching.ends import a_node, configured, ended, held, policy, waiting

LIMITS = """\
Operations:
  Defaults:
    JobScheduling:
      RunningLimit:
        CERN:
          JobType: {Merge: 3, MC: 100}
          Owner: {bob: 2}
          CEs: {ce1: {OwnerGroup: {prod: 1}}}
        RAL: {JobType: {Merge: 0}}
      MatchingDelay:
        CERN: {JobType: {MC: 0.5, Merge: 10, Test: 0}, Burst: {JobType: {Merge: 40}}}
"""


@pytest.fixture
def limited(installation: Installation) -> Iterator[None]:
    """A configuration with limits."""
    with configured(installation, LIMITS):
        yield


def count(vo: str = VO) -> Counted:
    with reading() as db:
        return limits.recount(db, vo)


def matched(site: str = "CERN", ce: str = "ce1", times: int = 1) -> int:
    found = [match(VO, a_node(site, ce=ce), stamp="stamp").jobs for _ in range(times)]
    return sum(map(len, found))


@pytest.mark.usefixtures("limited")
class TestRules:
    """What the configuration says."""

    def test_limits_of_a_site_and_of_its_computing_element_hold_together(self) -> None:
        assert limits.rules(VO, "CERN", "ce1").limits == (
            ("CERN", "type", "MC", 100),
            ("CERN", "type", "Merge", 3),
            ("CERN", "owner", "bob", 2),
            ("CERN/ce1", "group", "prod", 1),
        )
        assert len(limits.rules(VO, "CERN", "ce2").limits) == 3
        assert limits.rules(VO, "PIC", "ce1") == limits.Rules()

    def test_delays_are_in_seconds_with_a_burst_of_one_unless_stated(self) -> None:
        delays = limits.rules(VO, "CERN", "ce1").delays
        assert delays == (("CERN", "type", "MC", 0.5, 1), ("CERN", "type", "Merge", 10.0, 40))

    def test_each_check_can_be_switched_off(self, installation: Installation) -> None:
        off = LIMITS + "  lhcb: {JobScheduling: {CheckJobLimits: false, CheckMatchingDelay: false}}\n"
        with configured(installation, off):
            assert limits.rules(VO, "CERN", "ce1") == limits.Rules()
            assert limits.limited(VO) == {} and limits.limited("belle")
            assert count() is Counted.UNLIMITED


@pytest.mark.parametrize(
    "wrong, words",
    [
        ("RunningLimit: {A: {JobGroup: {x: 5}}}", "unknown key; there are JobType, OwnerGroup, Owner, CEs"),
        ("RunningLimit: {A: {JobType: {x: -1}}}", "greater than or equal to 0"),
        ("RuningLimit: {A: {JobType: {x: 5}}}", "unknown key RuningLimit; is RunningLimit meant?"),
        ("MatchingDelay: {A: {Burst: {Owner: {x: 0}}}}", "greater than or equal to 1"),
    ],
)
def test_a_limit_that_would_not_hold_is_a_fault(installation: Installation, wrong: str, words: str) -> None:
    with (
        configured(installation, f"Operations: {{Defaults: {{JobScheduling: {{{wrong}}}}}}}\n"),
        pytest.raises(SettingsError) as caught,
    ):
        config()
    assert words in str(caught.value)


@pytest.mark.usefixtures("limited")
def test_nothing_that_is_limited_is_matched_before_it_has_been_counted() -> None:
    waiting(2, job_type="Merge")
    (free,) = waiting(1, job_type="User")
    assert [one.job_id for one in match(VO, a_node(), stamp="s", count=3).jobs] == [free]
    assert count() is Counted.HOLDS
    assert matched(times=2) == 2


@pytest.mark.usefixtures("limited")
def test_what_waits_for_its_turn_takes_no_place_within_a_limit() -> None:
    limited, free = waiting(2, job_type="Merge"), waiting(3, job_type="User")
    assert count() is Counted.HOLDS
    found = [
        {one.job_id for one in match(VO, a_node(), stamp="s", count=9, in_turn=True).jobs} for _ in range(3)
    ]
    assert set().union(*found) == {*limited, *free}
    assert all(len(some & set(limited)) <= 1 for some in found)


@pytest.mark.usefixtures("limited")
def test_what_pilots_hold_is_counted_by_site_element_type_group_and_owner() -> None:
    held(2, job_type="Merge")
    held(1, ce="ce2", job_type="Merge", owner="bob")
    held(1, group="prod", job_type="merge")
    held(1, site="RAL", job_type="Merge")
    ended(1, Status.DONE, job_type="Merge")
    held(5, vo="belle", job_type="Merge")
    assert count() is Counted.HOLDS
    assert policy("run:CERN") == {"type=Merge": "3", "type=MC": "0", "owner=bob": "1"}
    assert policy("run:CERN/ce1") == {"group=prod": "1"} and policy("run:RAL") == {"type=Merge": "1"}
    assert policy("run:CERN", "belle") == {}


@pytest.mark.usefixtures("limited")
def test_a_full_limit_lets_others_go_and_opens_when_jobs_have_ended() -> None:
    jobs = waiting(5, job_type="Merge")
    count()
    assert matched(times=5) == 3
    waiting(1, job_type="User")
    assert matched(times=2) == 1
    with session() as db:
        control.kill_all(db, jobs[:2], "for a test")
    assert matched() == 0
    count()
    assert matched(times=3) == 2


@pytest.mark.usefixtures("limited")
def test_a_limit_of_nothing_lets_nothing_start() -> None:
    waiting(1, job_type="Merge")
    count()
    assert (matched("RAL"), matched("CERN")) == (0, 1)


@pytest.mark.usefixtures("limited")
def test_a_lease_that_the_database_does_not_know_yet_is_counted() -> None:
    waiting(5, job_type="Merge")
    count()
    assert len(take(VO, a_node()).taken) == 1
    count()
    assert policy("run:CERN")["type=Merge"] == "1"


@pytest.mark.usefixtures("limited")
def test_a_flush_closes_the_limits_until_they_are_counted_again() -> None:
    waiting(8, job_type="Merge")
    count()
    assert matched(times=2) == 2
    redis().flushall()
    with reading() as db:
        sweep.rebuild(db, VO)
    assert matched() == 0
    count()
    assert matched(times=3) == 1


@pytest.mark.usefixtures("limited")
def test_after_a_loss_of_memory_matches_under_way_get_their_time() -> None:
    waiting(1, job_type="Merge")
    with reading() as db:
        assert limits.recount(db, VO, patience=300) is Counted.EARLY
        assert matched() == 0
        assert limits.recount(db, VO) is Counted.HOLDS
    assert matched() == 1


@pytest.mark.usefixtures("limited")
def test_a_limit_that_is_new_is_closed_until_it_is_counted(installation: Installation) -> None:
    held(3, job_type="New")
    waiting(1, job_type="New")
    count()
    with configured(installation, LIMITS.replace("Merge: 3,", "Merge: 3, New: 3,")):
        assert matched() == 0


@pytest.mark.usefixtures("limited")
def test_limits_that_are_gone_leave_nothing(installation: Installation) -> None:
    count()
    with configured(installation, LIMITS.replace("RAL: {JobType: {Merge: 0}}", "PIC: {JobType: {MC: 1}}")):
        count()
    assert policy("run:RAL") == {} and policy("run:PIC") == {"type=MC": "0"}


@pytest.fixture
def after_the_database_is_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Something happens in the middle of the next count, when it has read what pilots hold."""

    def arrange(action: Callable[[], None]) -> None:
        read = use.running

        def reading_then(db: Session, vo: str, sites: set[str]) -> list[use.Running]:
            found = read(db, vo, sites)
            monkeypatch.setattr(use, "running", read)
            action()
            return found

        monkeypatch.setattr(use, "running", reading_then)

    return arrange


Arrange = Callable[[Callable[[], None]], None]


@pytest.mark.usefixtures("limited")
def test_what_is_matched_during_a_count_is_in_it(after_the_database_is_read: Arrange) -> None:
    waiting(5, job_type="Merge")
    count()
    given = []
    after_the_database_is_read(lambda: given.append(matched()))
    assert count() is Counted.HOLDS and given == [1]
    assert matched(times=5) == 2


@pytest.mark.usefixtures("limited")
def test_of_two_counts_only_the_one_that_began_last_counts(after_the_database_is_read: Arrange) -> None:
    """What is matched between the two beginnings is in neither the first's database nor its list."""
    waiting(5, job_type="Merge")
    count()
    said: list[object] = []
    after_the_database_is_read(lambda: said.extend([matched(), count()]))
    said.append(count())
    assert said == [1, Counted.HOLDS, Counted.OVERTAKEN]
    assert matched(times=5) == 2


@pytest.mark.usefixtures("limited")
def test_a_count_during_which_redis_crashes_does_not_hold(
    installation: Installation, after_the_database_is_read: Arrange
) -> None:
    waiting(5, job_type="Merge")
    count()

    def crash() -> None:
        assert matched() == 1
        installation.redis.kill()
        installation.redis.start()

    after_the_database_is_read(crash)
    assert count() is Counted.OVERTAKEN and matched() == 0


@pytest.mark.usefixtures("limited")
def test_no_limit_is_exceeded_while_two_count_and_four_match() -> None:
    jobs = waiting(40, job_type="Merge")
    over = threading.Event()

    def counting() -> int:
        times = 0
        while not over.is_set():
            times += count() is Counted.HOLDS
        return times

    def matching() -> list[int]:
        return [one.job_id for _ in range(40) for one in match(VO, a_node(), stamp="s").jobs]

    with ThreadPoolExecutor(6) as threads:
        counts = [threads.submit(counting) for _ in range(2)]
        pilots = [threads.submit(matching) for _ in range(4)]
        given = [job_id for one in pilots for job_id in one.result()]
        over.set()
        assert sum(one.result() for one in counts) > 0
    count()
    assert set(given) <= set(jobs) and len(given) == 3
    assert policy("run:CERN")["type=Merge"] == "3"


def test_the_counts_of_one_vo_are_nothing_to_another(installation: Installation) -> None:
    both = LIMITS.replace("Defaults", VO)
    with configured(installation, both):
        count()
        assert count("belle") is Counted.UNLIMITED
    assert policy("run:CERN") and not policy("run:CERN", "belle")
