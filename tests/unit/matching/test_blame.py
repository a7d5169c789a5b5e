"""Whose fault failures are: bounds that hold whatever happens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.matching.blame import VOICE, Fault, Kind, Tally, fault_of, heard, less, together
from diracx_tasks.matching.health import NODE, SITE

KIND = ("user", "alice", "User")
COUNTS = st.floats(0, 1000, allow_subnormal=False)
TALLIES = st.builds(Tally, COUNTS, COUNTS)

KINDS_OF_ALICE = st.tuples(st.sampled_from(["user", "prod"]), st.just("alice"), st.text(max_size=2))


@given(here=TALLIES, elsewhere=TALLIES)
def test_no_more_is_missing_than_was_expected(here: Tally, elsewhere: Tally) -> None:
    found = fault_of({KIND: here}, {KIND: elsewhere})
    assert 0 <= found.missing <= found.expected + 1e-6 <= here.total + 1e-3
    assert 0 <= found.share <= 1 + 1e-6


@given(here=TALLIES, elsewhere=TALLIES, more=st.floats(0, 100))
def test_more_done_elsewhere_never_excuses_a_node(here: Tally, elsewhere: Tally, more: float) -> None:
    before = fault_of({KIND: here}, {KIND: elsewhere})
    after = fault_of({KIND: here}, {KIND: elsewhere.and_(Tally(0, more))})
    assert after.missing >= before.missing - 1e-6


@given(failed=st.floats(0, 1000))
def test_one_kind_of_which_nothing_is_known_elsewhere_convicts_nobody(failed: float) -> None:
    assert fault_of({KIND: Tally(failed)}, {}).missing <= 0.5


@given(kinds=st.dictionaries(KINDS_OF_ALICE, TALLIES))
def test_what_runs_nowhere_else_says_of_one_owner_as_much_as_one_kind(kinds: dict[Kind, Tally]) -> None:
    assert fault_of(kinds, {}).missing <= 0.5 + 1e-6


@given(failed=st.lists(st.floats(0, 1000), max_size=40))
def test_many_owners_of_whose_jobs_nothing_is_known_elsewhere_slow_nobody(failed: list[float]) -> None:
    here = {("user", f"owner{number}", "User"): Tally(count) for number, count in enumerate(failed)}
    assert NODE.pace(fault_of(here, {})) == SITE.pace(fault_of(here, {})) == 0


def test_what_is_known_elsewhere_convicts_besides_what_is_not() -> None:
    here = {KIND: Tally(8), **{("user", "alice", f"new{number}"): Tally(3) for number in range(7)}}
    assert NODE.pace(fault_of(here, {KIND: Tally(0, 9)})) > 0


def test_what_is_as_good_as_elsewhere_has_no_fault() -> None:
    assert fault_of({KIND: Tally(50, 50)}, {KIND: Tally(50, 50)}).share == pytest.approx(0, abs=0.01)
    assert fault_of({KIND: Tally(0, 9)}, {KIND: Tally(0, 9)}).missing == 0
    assert fault_of({}, {}) == Fault() and Fault().share == 0


@given(tallies=st.lists(TALLIES, min_size=1, max_size=6))
def test_no_node_speaks_for_more_jobs_than_its_voice(tallies: list[Tally]) -> None:
    places = [{KIND: one} for one in tallies]
    assert heard(places)[KIND].total <= VOICE * len(tallies) + 1e-6
    assert together(places)[KIND].total <= VOICE * len(tallies) + 1e-6
    assert together(places, places[0])[KIND].total >= min(tallies[0].total, VOICE) - 1e-6
    rest = less(heard(places), {KIND: tallies[0].at_most(VOICE)})[KIND]
    assert rest.total == pytest.approx(sum(one.at_most(VOICE).total for one in tallies[1:]), abs=1e-6)
