"""The jobs and nodes that the matcher is measured with: LHCb's totals hold, and all is the same each time."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from diracx_api.models.slots import Description, Slot
from diracx_tasks.matching.node import node_of
from diracx_tasks.matching.specification import specifications
from tests.bench.lhcb import TaskQueue, Total, Totals, task_queues
from tests.bench.mixes import BURST, bursts, classes, expressions
from tests.bench.nodes import description, nodes, slot
from tests.unit.matching.offered import fits

TOTALS = Totals()
QUEUES = task_queues()
JOBS = 60_000


@pytest.mark.parametrize(
    ("totals", "has"),
    [
        pytest.param(TOTALS.sites, lambda one, site: site in one.sites, id="sites"),
        pytest.param(TOTALS.banned_sites, lambda one, site: site in one.banned_sites, id="banned sites"),
        pytest.param(TOTALS.platforms, lambda one, name: name in one.platforms, id="platforms"),
        pytest.param(TOTALS.types, lambda one, name: name == one.job_type, id="job types"),
        pytest.param(TOTALS.cpu_times, lambda one, seconds: seconds == one.cpu_time, id="CPU times"),
    ],
)
def test_each_value_is_in_as_many_queues_and_jobs_as_at_lhcb(
    totals: Mapping[Any, Total], has: Callable[[TaskQueue, Any], bool]
) -> None:
    for value, total in totals.items():
        members = [one for one in QUEUES if has(one, value)]
        assert len(members) == total.queues, value
        # The files were not written at the same moment.
        assert sum(one.jobs for one in members) == pytest.approx(total.jobs, rel=0.05, abs=60), value


def test_owners_are_those_of_the_groups() -> None:
    for group, owners in TOTALS.owners.items():
        for owner, total in owners.items():
            assert sum(one.group == group and one.owner == owner for one in QUEUES) == total.queues


@pytest.mark.parametrize(
    ("mix", "number"), [("lhcb", 498), ("tags", 4980), ("users", 6498), ("explosion", 49_800)]
)
def test_a_mix_has_as_many_classes_as_it_says_and_all_its_jobs(mix: str, number: int) -> None:
    made = classes(mix, JOBS)
    assert len(made) == len({one.number for one in made}) == number
    assert sum(one.jobs for one in made) == JOBS


def test_classes_and_the_order_of_jobs_are_the_same_each_time() -> None:
    assert bursts(classes("users", JOBS)) == bursts(classes("users", JOBS))


def test_every_job_has_one_number() -> None:
    found = bursts(classes("lhcb", JOBS))
    ends = [one.first + one.jobs for one in found]
    assert [one.first for one in found] == [1, *ends[:-1]]
    assert ends[-1] == JOBS + 1
    assert max(one.jobs for one in found) <= BURST


def test_fewer_jobs_than_classes_leave_the_smallest_classes_out() -> None:
    made = classes("users", 1000)
    assert [one.jobs for one in made] == [1] * 1000


def test_300_expressions_over_tags_mean_different_things() -> None:
    found = expressions(sorted(TOTALS.sites))
    assert len({specifications({"tags": one})[0].tags for one in found}) == len(found) == 300


@pytest.mark.parametrize("mix", ["lhcb", "tags", "users"])
def test_many_jobs_fit_some_of_a_few_nodes_and_most_nodes_some_job(mix: str) -> None:
    made = classes(mix, JOBS)
    wanted = [specifications(one.record)[0] for one in made[:: len(made) // 80]]
    offered = [node_of(**one) for one in nodes(80)]
    fit = [[fits(spec, node) for node in offered] for spec in wanted]
    assert sum(map(any, fit)) > len(wanted) / 4
    assert sum(map(any, zip(*fit, strict=True))) > len(offered) / 2


def test_the_match_route_takes_a_node_as_it_is() -> None:
    for one in nodes(500):
        assert Slot(stamp="bench", **slot(one)).node() == node_of(**one)


def test_a_description_as_of_dirac_fits_the_jobs_that_the_node_fits_but_for_what_dirac_does_not_say() -> None:
    wanted = [specifications(one.record)[0] for one in classes("tags", JOBS)[::100]]
    for one in nodes(50):
        said = {**one, "wall_time": None, "scratch_mb": None}
        described = Description(**description(one)).node()
        assert [fits(spec, described) for spec in wanted] == [fits(spec, node_of(**said)) for spec in wanted]


def test_nodes_are_the_same_each_time_and_of_many_kinds() -> None:
    assert nodes(2000) == nodes(2000)
    assert len({node_of(**one).kind() for one in nodes(2000)}) > 500
