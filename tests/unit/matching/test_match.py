"""The matcher gives what the reference gives, each job once."""

import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diracx_tasks.matching.node import Node
from diracx_tasks.matching.tasks import compare
from tests.builders import Installation
from tests.unit.matching.ends import configured
from tests.unit.matching.stored import LIMITS, Stored
from tests.unit.matching.together import Together, Wish, nodes, wishes

FIXTURE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
EXAMPLES = int(os.environ.get("MATCHING_EXAMPLES", "60"))
NUMBERS = st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=4)
INDEX = st.integers(0, 99)
STEPS = st.one_of(
    st.tuples(st.just("push"), INDEX, NUMBERS),
    st.tuples(st.just("ask"), INDEX, st.integers(1, 4)),
    st.tuples(st.just("ask"), INDEX, st.integers(1, 4)),
    st.tuples(st.just("ask"), INDEX, st.integers(1, 4)),
    st.tuples(st.just("ask in turn"), INDEX, st.integers(2, 6)),
    st.tuples(st.just("drop"), INDEX, st.integers(1, 3)),
    st.tuples(st.sampled_from(["expire", "forget", "tiers", "flush"]), INDEX, st.just(0)),
)


@pytest.fixture
def limited(installation: Installation) -> Iterator[None]:
    """A configuration with limits."""
    with configured(installation, LIMITS):
        yield


def step(both: Together, jobs: list[Wish], kinds: list[Node], what: tuple[str, int, Any]) -> None:
    """One step of a story."""
    name, index, value = what
    if name == "push":
        new = [number for number in set(value) if number not in both.jobs]
        both.push([jobs[index % len(jobs)].entry(number, both.vo) for number in new])
    elif name in ("ask", "ask in turn"):
        both.ask(kinds[index % len(kinds)], value, in_turn=name == "ask in turn")
    elif name == "drop" and (waiting := sorted(both.reference.waits)):
        both.drop(waiting[index % len(waiting) :][:value])
    elif name == "expire":
        both.expire()
    elif name == "forget":
        both.forget_classes()
    elif name == "tiers":
        both.set_tiers({"MC": "low"} if index % 2 else {"Merge": "urgent", "User": "low"})
    elif name == "flush" and index % 4 == 0:
        both.flush()


@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=FIXTURE)
@given(
    jobs=st.lists(wishes, min_size=4, max_size=10),
    kinds=st.lists(nodes, min_size=2, max_size=5),
    steps=st.lists(STEPS, min_size=15, max_size=60),
)
def test_every_pilot_gets_what_the_reference_gives(
    installation: Installation, jobs: list[Wish], kinds: list[Node], steps: list[Any]
) -> None:
    both = Together(secrets.token_hex(4))
    both.push([wish.entry(2**20 + number, both.vo) for number, wish in enumerate(jobs)])
    for what in steps:
        step(both, jobs, kinds, what)


def without_choices(wish: Wish) -> Wish:
    """The match says how many cores a job gets, not by which alternative: these are told apart by that."""
    record = dict(wish.record)
    if record.get("alternatives"):
        left = [{**one, "gpu": {}, "io": {}} for one in record["alternatives"]]
        record |= {"alternatives": left, "gpu": {}, "io": {}}
    return replace(wish, record=record)


STORED = st.one_of(
    st.tuples(st.just("submit"), INDEX, st.integers(1, 3)),
    *[st.tuples(st.just("match"), INDEX, st.integers(1, 4))] * 6,
    st.tuples(st.just("abandon"), INDEX, st.integers(1, 4)),
    st.tuples(st.sampled_from(["kill", "lose"]), INDEX, st.just(0)),
    st.tuples(st.sampled_from(["expire", "recount", "sweep", "flush"]), INDEX, st.just(0)),
    st.tuples(st.just("recount"), INDEX, st.just(0)),
)


def stored_step(both: Stored, jobs: list[Wish], kinds: list[Node], what: tuple[str, int, int]) -> None:
    """One step of a story with the database."""
    name, index, count = what
    if name == "submit":
        both.submit([jobs[(index + more) % len(jobs)] for more in range(count)])
    elif name == "match":
        both.match(kinds[index % len(kinds)], count)
    elif name == "abandon":
        both.ask(kinds[index % len(kinds)], count)
    elif name == "kill" and both.jobs:
        both.kill([sorted(both.jobs)[index % len(both.jobs)]])
    elif name == "lose" and both.held:
        both.give_back(sorted(both.held)[index % len(both.held)])
    elif name in ("expire", "recount", "flush"):
        getattr(both, name)()
    elif name == "sweep":
        assert compare.run(vo=both.vo) == "0 differed"
    both.assert_none_is_lost()


@settings(max_examples=EXAMPLES // 4, deadline=None, database=None, suppress_health_check=FIXTURE)
@given(
    jobs=st.lists(wishes.map(without_choices), min_size=4, max_size=8),
    kinds=st.lists(nodes, min_size=2, max_size=4),
    steps=st.lists(STORED, min_size=10, max_size=40),
)
def test_with_kills_leases_limits_and_rebuilds_no_job_is_given_twice_or_lost(
    limited: None, jobs: list[Wish], kinds: list[Node], steps: list[Any]
) -> None:
    both = Stored(secrets.token_hex(4))
    both.submit(jobs)
    for what in steps:
        stored_step(both, jobs, kinds, what)
