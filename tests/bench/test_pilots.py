"""The simulated day: every job is run once under either rule, and ours starts fewer pilots for nothing."""

import pytest

from tests.bench.pilots import DIRACS, OURS, Diracs, Ours
from tests.bench.pilots_grid import Figures, Simulation
from tests.bench.pilots_world import DAY, World, world

JOBS = 2000


@pytest.fixture(scope="module")
def small() -> World:
    return world(JOBS)


@pytest.fixture(scope="module")
def ours(small: World) -> Figures:
    return Simulation(small).run(OURS, Ours(small))


@pytest.fixture(scope="module")
def diracs(small: World) -> Figures:
    return Simulation(small).run(DIRACS, Diracs(small))


def test_the_world_is_the_same_each_time(small: World) -> None:
    again = world(JOBS)
    assert again.queues == small.queues
    assert again.arrivals == small.arrivals
    assert sum(burst.jobs for burst in small.arrivals) == JOBS
    assert all(0 <= burst.at <= DAY for burst in small.arrivals)


def test_every_job_fits_some_queue(small: World) -> None:
    assert all(small.at[burst.class_no] for burst in small.arrivals)


def test_jobs_and_pilots_are_all_accounted_for(ours: Figures, diracs: Figures) -> None:
    for found in (ours, diracs):
        assert len(found.waits) + found.left == JOBS
        assert found.useless + found.aborted + found.withdrawn <= found.submitted
        assert min(found.waits) >= 0


def test_jobs_are_left_only_where_all_slots_are_taken(ours: Figures, diracs: Figures) -> None:
    assert ours.with_room == diracs.with_room == 0
    assert ours.left <= 1.3 * diracs.left


def test_fewer_pilots_start_and_fewer_for_nothing(ours: Figures, diracs: Figures) -> None:
    assert ours.submitted < diracs.submitted / 4
    assert ours.useless < diracs.useless / 10
