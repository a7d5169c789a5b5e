"""Running limits after a crash of Redis: closed until what runs has been counted."""

from collections.abc import Iterator
from typing import Any

import pytest

from diracx_tasks.core.database import reading
from diracx_tasks.core.redis import redis
from diracx_tasks.matching import limits
from diracx_tasks.matching.limits import Counted
from diracx_tasks.matching.match import match
from tests.builders import VO, Installation
from tests.system import wait_for
from tests.unit.matching.ends import a_node, configured, policy, waiting

LIMITS = "Operations: {lhcb: {JobScheduling: {RunningLimit: {CERN: {JobType: {Merge: 3}}}}}}\n"
pytestmark = pytest.mark.usefixtures("limited")


@pytest.fixture
def limited(installation: Installation) -> Iterator[None]:
    """Three jobs of a type may run at a site."""
    with configured(installation, LIMITS):
        yield


def count() -> Counted:
    with reading() as db:
        return limits.recount(db, VO)


def matched(times: int) -> int:
    return sum(len(match(VO, a_node(), stamp="stamp").jobs) for _ in range(times))


def test_after_a_crash_of_redis_limits_are_closed_until_they_are_counted(installation: Installation) -> None:
    """Its log ends up to a second before the crash: some of what was matched is not in it."""
    waiting(5, job_type="Merge")
    assert count() is Counted.HOLDS and matched(1) == 1
    installation.redis.kill()
    installation.redis.start()
    assert policy("run:CERN") == {"type=Merge": "1"} and matched(1) == 0
    with reading() as db:
        assert limits.recount(db, VO, patience=300) is Counted.EARLY
    assert count() is Counted.HOLDS and matched(3) == 2


def is_rewritten() -> bool:
    found: dict[str, Any] = redis().info("persistence")
    return not found["aof_rewrite_in_progress"] and not found["aof_rewrite_scheduled"]


def test_a_rewrite_of_the_log_brings_no_counts_back_that_are_older_than_the_last(
    installation: Installation,
) -> None:
    waiting(5, job_type="Merge")
    count()
    redis().bgrewriteaof()
    wait_for(is_rewritten, 10, lambda: "the log is being rewritten still")
    assert count() is Counted.HOLDS and matched(1) == 1
    installation.redis.kill()
    installation.redis.start()
    assert policy("run:CERN") and matched(1) == 0
