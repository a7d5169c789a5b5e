"""The matcher gives what the reference gives, each job once."""

import secrets
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import Installation
from tests.unit.matching.together import Together, Wish, nodes, wishes

FIXTURE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
NUMBERS = st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=4)
INDEX = st.integers(0, 99)
STEPS = st.one_of(
    st.tuples(st.just("push"), INDEX, NUMBERS),
    st.tuples(st.just("ask"), INDEX, st.integers(1, 4)),
    st.tuples(st.just("ask"), INDEX, st.integers(1, 4)),
    st.tuples(st.just("ask"), INDEX, st.integers(1, 4)),
    st.tuples(st.just("drop"), INDEX, st.integers(1, 3)),
    st.tuples(st.just("expire"), INDEX, st.just(0)),
)


def step(both: Together, jobs: list[Wish], kinds: list[Any], what: tuple[str, int, Any]) -> None:
    """One step of a story."""
    name, index, value = what
    if name == "push":
        new = [number for number in set(value) if number not in both.jobs]
        both.push([jobs[index % len(jobs)].entry(number, both.vo) for number in new])
    elif name == "ask":
        both.ask(kinds[index % len(kinds)], value)
    elif name == "drop" and (waiting := sorted(both.reference.waits)):
        both.drop(waiting[index % len(waiting) :][:value])
    elif name == "expire":
        both.expire()


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=FIXTURE)
@given(
    jobs=st.lists(wishes, min_size=4, max_size=10),
    kinds=st.lists(nodes, min_size=2, max_size=5),
    steps=st.lists(STEPS, min_size=15, max_size=60),
)
def test_every_pilot_gets_what_the_reference_gives(
    installation: Installation, jobs: list[Wish], kinds: list[Any], steps: list[Any]
) -> None:
    both = Together(secrets.token_hex(4))
    both.push([wish.entry(2**20 + number, both.vo) for number, wish in enumerate(jobs)])
    for what in steps:
        step(both, jobs, kinds, what)
