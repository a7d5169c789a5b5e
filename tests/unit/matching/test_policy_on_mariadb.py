"""The matcher's policy on MariaDB: names that its collations take for one, transactions side by side."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from diracx_tasks.core.database import new_session, reading, session
from diracx_tasks.core.deadlocks import patiently
from diracx_tasks.jobs import use as ends
from diracx_tasks.jobs.states import Status
from diracx_tasks.matching import health, limits, shares, use
from diracx_tasks.matching.limits import Counted
from diracx_tasks.matching.match import match
from tests.api.stores import ON_MARIADB, installation, migrated
from tests.builders import VO, Installation, template
from tests.unit.matching.ends import a_node, configured, end, ended, held, policy, shift, waiting

__all__ = ["installation", "migrated", "template"]
pytestmark = [ON_MARIADB, pytest.mark.usefixtures("installation")]
HOUR = 3600
LIMITS = "Operations: {lhcb: {JobScheduling: {RunningLimit: {CERN: {JobType: {Merge: 3, merge: 9}}}}}}\n"


def count() -> Counted:
    with reading() as db:
        return limits.recount(db, VO)


def test_types_that_differ_in_capitals_are_counted_apart(installation: Installation) -> None:
    held(2, job_type="Merge")
    held(1, job_type="merge")
    with configured(installation, LIMITS):
        count()
    assert policy("run:CERN") == {"type=Merge": "2", "type=merge": "1"}


def test_no_limit_is_exceeded_while_two_count_and_four_match(installation: Installation) -> None:
    waiting(40, job_type="Merge")
    over = threading.Event()

    def counting() -> int:
        times = 0
        while not over.is_set():
            times += count() is Counted.HOLDS
        return times

    def matching() -> int:
        return sum(len(match(VO, a_node(), stamp="s").jobs) for _ in range(20))

    with configured(installation, LIMITS), ThreadPoolExecutor(6) as threads:
        count()
        counts = [threads.submit(counting) for _ in range(2)]
        given = sum(one.result() for one in [threads.submit(matching) for _ in range(4)])
        over.set()
        assert sum(one.result() for one in counts) > 0
        count()
        # What is matched during a count is counted twice until the next one, and may keep places free.
        while more := match(VO, a_node(), stamp="s").jobs:
            given += len(more)
        count()
    assert given == 3 and policy("run:CERN")["type=Merge"] == "3"


def test_of_two_who_count_use_at_once_one_waits_and_nothing_is_counted_twice() -> None:
    ended(8, Status.DONE, ago=600)

    def counting(_: int) -> int:
        with session() as db:
            return patiently(db, lambda: use.count(db, VO))

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(counting, range(4))) == [0, 0, 0, 8]
    with reading() as db:
        assert use.recent(db, VO, 3600) == {("user", "alice"): 480}


def test_an_end_whose_transaction_is_still_open_is_seen_when_it_is_committed() -> None:
    for node in ("CERN/n2", "RAL/n1", "RAL/n2"):
        ended(1, Status.DONE, node)
    late = held(8)
    with new_session() as other:
        end(other, late, Status.FAILED)
        ended(1, Status.DONE, "RAL/n3")
        with reading() as db:
            assert health.look(db, VO) == 0
        other.commit()
    with reading() as db:
        assert health.look(db, VO) == 1
    assert policy("slow").keys() == {"CERN/n1"}


def rows_read(db: Session) -> int:
    """How many rows of tables and indexes this session has read until now."""
    found = db.execute(text("SHOW SESSION STATUS LIKE 'Handler_read%'"))
    return sum(int(count) for name, count in found if name != "Handler_read_rnd_deleted")


@pytest.mark.parametrize("looking", [health.look, use.count])
def test_a_vo_that_ends_nothing_reads_little_of_what_others_ended(
    looking: Callable[[Session, str], int],
) -> None:
    ended(300, Status.DONE, ago=50 * HOUR)
    ended(300, Status.DONE, ago=HOUR, vo="belle")
    with session() as db:
        # What was changed is in the indexes until it is purged, and misleads the optimizer.
        db.execute(text("SET GLOBAL innodb_max_purge_lag_wait = 0"))
        db.execute(text("ANALYZE TABLE JobAttempts")).all()
        looking(db, VO)
    with session() as db:
        before = rows_read(db)
        looking(db, VO)
        assert rows_read(db) - before < 100


def test_a_node_that_fails_while_others_run_is_slowed_and_shares_are_computed() -> None:
    for number in range(5):
        shift(held(1, site="RAL", node=f"n{number}"), started=3600)
    ended(8, Status.FAILED)
    with reading() as db:
        assert health.look(db, VO) == 1
        assert ends.surviving(db, VO, {"alice"}, 60) == [ends.Surviving("user", "alice", "User", "RAL", 5)]
        assert shares.recompute(db, VO) == {}
