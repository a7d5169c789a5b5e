"""Nobody waits for ever, and weights are kept."""

from collections import Counter
from itertools import count, cycle
from typing import Any

import pytest

from diracx_tasks.matching import store
from diracx_tasks.matching.match import take
from diracx_tasks.matching.node import Node
from diracx_tasks.matching.queue import Entry
from diracx_tasks.matching.store import Class
from tests.builders import VO
from tests.unit.matching.together import Together, Wish, set_policy

pytestmark = pytest.mark.usefixtures("installation")
A, B = (Node(site, cores=8, ram_mb=64_000) for site in "AB")
FLOOD = 3000


class Line:
    """Jobs that wait, made in bulk."""

    def __init__(self) -> None:
        self.numbers = count(1)
        self.classes: dict[Any, Class] = {}
        self.about: dict[int, Entry] = {}

    def wait(self, jobs: int = 1, record: dict[str, Any] | None = None, **about: Any) -> list[int]:
        """So many jobs more."""
        whose = {"job_type": "MC", "group": "user", "owner": "alice", "priority": 5, **about}
        made = [Entry(next(self.numbers), VO, requirements=record or {}, **whose) for _ in range(jobs)]
        identity = made[0].identity
        of = self.classes.setdefault(identity, Class(len(self.classes) + 1, *identity))
        store.push({of: [one.job_id for one in made]})
        self.about |= {one.job_id: one for one in made}
        return [one.job_id for one in made]


@pytest.fixture
def line() -> Line:
    """An empty queue."""
    return Line()


def matches_until(job_id: int, most: int, *nodes: Node) -> int:
    """How many matches it takes until a job is given, by nodes in turn; fails after so many."""
    for number, node in zip(range(1, most + 1), cycle(nodes or [A]), strict=False):
        if any(one.job_id == job_id for one in take(VO, node).taken):
            return number
    raise AssertionError(f"job {job_id} waits after {most} matches")


def test_a_low_priority_gets_a_turn_under_a_flood_of_high_ones(line: Line) -> None:
    (low,) = line.wait(priority=0)
    line.wait(FLOOD, priority=10)
    assert matches_until(low, 16) <= 16


@pytest.mark.parametrize("phase", range(3))
def test_a_low_priority_of_one_site_gets_a_turn_whatever_other_sites_do(line: Line, phase: int) -> None:
    """Sites that ask in turn must not divide the turns in such a way that it never comes."""
    (low,) = line.wait(record={"sites": ["B"]}, priority=0)
    line.wait(FLOOD, priority=10)
    for _ in range(phase):
        take(VO, A)
    matches_until(low, 400, A, B)


@pytest.mark.parametrize(
    "about", [{"owner": "bob"}, {"group": "prod"}, {"job_type": "Merge"}, {"group": "zz", "owner": "zz"}]
)
def test_a_flood_of_one_owner_group_or_tier_keeps_no_other_waiting(line: Line, about: dict[str, Any]) -> None:
    set_policy(VO, {"Merge": "other"}, {}, [])
    line.wait(FLOOD, priority=10)
    for _ in range(100):
        take(VO, A)
    (one,) = line.wait(priority=0, **about)
    assert matches_until(one, 4) <= 2


@pytest.mark.parametrize("many", [17, 30])
def test_owners_whose_jobs_are_all_gone_keep_no_one_waiting(line: Line, many: int) -> None:
    jobs = [line.wait(owner=f"owner-{number:03}")[0] for number in range(many)]
    for killed in jobs[:-1]:
        store.drop(VO, {killed: 1 + jobs.index(killed)})
    assert matches_until(jobs[-1], 1) == 1


def test_every_one_of_a_hundred_owners_gets_his_turn(line: Line) -> None:
    for number in range(100):
        line.wait(3, owner=f"owner-{number:03}")
    found = [line.about[take(VO, A).taken[0].job_id].owner for _ in range(300)]
    assert [sorted(found[part : part + 100]) for part in (0, 100, 200)] == [sorted(set(found))] * 3


def test_a_group_that_runs_at_one_site_only_keeps_no_one_waiting_there_for_long(line: Line) -> None:
    """What it could not use elsewhere is made up for in a bounded number of turns."""
    line.wait(FLOOD, {"sites": ["B"]}, group="local")
    line.wait(FLOOD)
    for _ in range(1000):
        take(VO, A)
    (one,) = line.wait(group="other", record={"sites": ["B"]})
    assert matches_until(one, 100, B) <= 70


def test_a_group_that_runs_at_one_site_only_gets_its_turns_there(line: Line) -> None:
    line.wait(FLOOD, {"sites": ["B"]}, group="local")
    line.wait(FLOOD)
    found: Counter[str] = Counter()
    for _ in range(200):
        take(VO, A)
        found[line.about[take(VO, B).taken[0].job_id].group] += 1
    assert found["local"] >= 100


@pytest.mark.parametrize("level", ["tier", "group", "owner"])
def test_weights_are_shares_of_the_matches(line: Line, level: str) -> None:
    weights = {"a": 1.0, "b": 2.5, "c": 6.5}
    names = {"tier": "tier:{}", "group": "group:{}", "owner": "owner:user/{}"}
    tiers = {name: name for name in weights} if level == "tier" else {}
    set_policy(VO, tiers, {names[level].format(name): weight for name, weight in weights.items()}, [])
    attribute = {"tier": "job_type"}.get(level, level)
    for name in weights:
        line.wait(1500, None, **{attribute: name})
    found = Counter(getattr(line.about[take(VO, A).taken[0].job_id], attribute) for _ in range(2000))
    for name, weight in weights.items():
        assert abs(found[name] / 2000 - weight / 10) <= 0.05 * weight / 10, found


def test_weights_hold_while_owners_come_and_go(line: Line) -> None:
    """One who always has jobs gets his share beside others who never have many."""
    set_policy(VO, {}, {"owner:user/steady": 1.0}, [])
    line.wait(3000, owner="steady")
    found: Counter[bool] = Counter()
    for number in range(1000):
        line.wait(owner=f"guest-{number % 7}")
        found[line.about[take(VO, A).taken[0].job_id].owner == "steady"] += 1
    assert found[True] >= 100


def test_one_with_a_small_weight_is_served_all_the_same(line: Line) -> None:
    set_policy(VO, {}, {"owner:user/small": 0.01}, [])
    line.wait(FLOOD, owner="large")
    for _ in range(50):
        take(VO, A)
    found = line.wait(3, owner="small")
    assert sum(matches_until(job_id, 200) for job_id in found) <= 320


def test_owners_of_a_group_that_shares_are_served_by_age(line: Line) -> None:
    set_policy(VO, {}, {}, ["user"])
    jobs = line.wait(20, owner="alice") + line.wait(5, owner="bob")
    assert [take(VO, A).taken[0].job_id for _ in jobs] == jobs


def test_of_many_owners_some_of_whose_jobs_are_killed_each_gets_what_the_reference_gives() -> None:
    both = Together(VO)
    both.push([Wish({}, "MC", f"g{n % 3}", f"o{n % 50}", n % 11).entry(n + 1, VO) for n in range(250)])
    both.drop([n for n in range(1, 251) if n % 50 < 35])
    given = [job_id for _ in range(50) for job_id in both.ask(A, 2)]
    assert sorted(given) == [n for n in range(1, 251) if n % 50 >= 35]
