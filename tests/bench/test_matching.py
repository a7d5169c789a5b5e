"""The matcher's benchmark: what it puts in is what comes out, once, through every door that it measures."""

from itertools import islice

import pytest

from diracx_tasks.core.redis import redis
from diracx_tasks.matching import keys, store
from diracx_tasks.matching.match import match
from tests.api.stores import ON_MARIADB, installation, migrated  # noqa: F401 (fixtures)
from tests.bench import matching_server as server
from tests.bench.matching import Figure
from tests.bench.matching_load import asked, insert, press
from tests.bench.matching_sql import PAYLOAD, add_pilots
from tests.bench.mixes import bursts, classes
from tests.bench.nodes import nodes
from tests.bench.population import VO
from tests.builders import Installation, template  # noqa: F401 (a fixture)

JOBS = 3000
MADE = classes("lhcb", JOBS)
ON_SQLITE = pytest.mark.parametrize("installation", ["sqlite"], indirect=True)


@ON_SQLITE
@pytest.mark.usefixtures("installation")
def test_all_jobs_are_inserted_and_clients_take_each_once() -> None:
    assert insert(bursts(MADE)) > 0
    assert sum(store.waiting(VO).values()) == JOBS
    rates = press("take", 2, 0.3, warm_up=10)
    waiting = sum(store.waiting(VO).values())
    leased = redis().zcard(keys.leases(VO))
    assert leased + waiting == JOBS
    assert 0 < rates.jobs <= leased <= rates.jobs + 10
    assert rates.empty == len(rates.latencies) - rates.jobs


@ON_SQLITE
def test_a_client_that_fails_ends_the_measurement(installation: Installation) -> None:  # noqa: F811
    installation.redis.kill()
    try:
        with pytest.raises(RuntimeError, match="a client of the matcher ended before the start"):
            press("take", 2, 0.1)
    finally:
        installation.redis.restart()


@ON_MARIADB
@pytest.mark.usefixtures("installation")
def test_jobs_that_the_database_was_filled_with_are_given_to_pilots_whole() -> None:
    server.fill(MADE, bursts(MADE), whole=True)
    stamps = [f"bench-{number}" for number in range(5)]
    add_pilots(stamps, nodes(5))
    assert server.rebuild()[0] == JOBS
    found = [match(VO, node, stamp=stamps[0]).jobs for node in islice(asked(), 20)]
    given = [job for jobs in found for job in jobs]
    assert len(given) == len({job.job_id for job in given}) > 0
    assert [job.work.payload for job in given] == [PAYLOAD] * len(given)
    assert {job.work.attempt for job in given} == {1}


@pytest.mark.parametrize(
    ("part", "value", "p99_ms", "holds"),
    [
        ("take", 10_000, 2.9, True),
        ("take", 9_999, 2.9, False),
        ("take", 10_000, 3.0, False),
        ("ceiling", 1, 9.0, True),
    ],
)
def test_a_figure_knows_whether_it_reaches_its_aim(
    part: str, value: float, p99_ms: float, holds: bool
) -> None:
    assert Figure("lhcb", part, "matches/s", value, 8, p99_ms=p99_ms).holds is holds


def test_memory_must_not_be_above_its_aim() -> None:
    assert Figure("lhcb", "memory", "MB", 100).holds
    assert not Figure("lhcb", "memory", "MB", 100.1).holds
