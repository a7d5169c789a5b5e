"""Shares: weights from the configuration and from recent use, and that matches keep to them."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.core.config import config
from diracx_tasks.core.database import reading, session
from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.redis import redis
from diracx_tasks.core.scheduling import Slice
from diracx_tasks.jobs.states import Status
from diracx_tasks.matching import shares, sweep, use
from diracx_tasks.matching.match import match
from tests.builders import VO, Installation
from tests.unit.matching.ends import a_node, configured, ended, policy, waiting

GROUPS = """\
Registry:
  lhcb:
    DefaultGroup: user
    Users: {}
    Groups:
      user: {Properties: [NormalUser], Users: []}
      prod: {Properties: [NormalUser, JobSharing], Users: [], JobShare: 3000}
      idle: {Properties: [NormalUser], Users: [], JobShare: 0}
"""
TIERS = "Operations: {lhcb: {Matching: {Tiers: {urgent: {Weight: 4, JobTypes: [Merge, Stripping]}}}}}\n"
CORRECTED = "Operations: {lhcb: {JobScheduling: {EnableSharesCorrection: true}}}\n"
LONG_AGO = 600.0
NAMES = st.sampled_from(["a", "b", "c"])
USED = st.dictionaries(NAMES, st.floats(0, 1e9))
SLICES = st.builds(Slice, TimeSpan=st.just(3600), Weight=st.floats(0.1, 10), MaxCorrection=st.floats(1, 9))


@pytest.fixture
def grouped(installation: Installation) -> Iterator[None]:
    """A configuration with three groups."""
    with configured(installation, GROUPS):
        yield


def recompute(vo: str = VO) -> dict[str, float]:
    with reading() as db:
        return shares.recompute(db, vo)


def taken(count: int) -> list[int]:
    """The jobs that a node gets which asks so many times."""
    return [one.job_id for _ in range(count) for one in match(VO, a_node(), stamp="s").jobs]


def turns(count: int, **of: list[int]) -> dict[str, int]:
    """Of so many matches, how many were of which jobs."""
    found = taken(count)
    return {name: len(set(jobs) & set(found)) for name, jobs in of.items()}


@pytest.mark.usefixtures("grouped")
def test_a_share_is_a_weight_and_sharing_groups_are_known() -> None:
    assert recompute() == {"group:idle": 0.001, "group:prod": 3.0}
    assert policy("weights") == {"group:idle": "0.001", "group:prod": "3.0"}
    assert redis().smembers("{lhcb}:m:sharing") == {"prod"}


@pytest.mark.usefixtures("grouped")
def test_groups_get_their_shares_of_the_matches() -> None:
    recompute()
    user, prod = waiting(20), waiting(40, group="prod", owner="carol")
    found = turns(20, user=user, prod=prod)
    assert 14 <= found["prod"] <= 16 and found["user"] == 20 - found["prod"]


@pytest.mark.usefixtures("grouped")
def test_owners_take_turns_unless_their_group_shares() -> None:
    recompute()
    many, few = waiting(20), waiting(5, owner="bob")
    assert turns(10, many=many, few=few) == {"many": 5, "few": 5}


@pytest.mark.usefixtures("grouped")
def test_in_a_group_that_shares_the_oldest_job_goes_first_whoever_owns_it() -> None:
    recompute()
    jobs = [*waiting(4, group="prod"), *waiting(4, group="prod", owner="bob")]
    assert taken(8) == jobs


def test_tiers_have_weights_and_names_from_the_configuration(installation: Installation) -> None:
    with configured(installation, GROUPS + TIERS):
        assert recompute()["tier:urgent"] == 4.0
        merge, others = waiting(20, job_type="Merge"), waiting(20)
        found = turns(10, merge=merge, others=others)
        assert found == {"merge": 8, "others": 2}


def test_a_job_type_is_in_one_tier(installation: Installation) -> None:
    twice = "Operations: {lhcb: {Matching: {Tiers: {a: {JobTypes: [X]}, b: {JobTypes: [X]}}}}}\n"
    with configured(installation, twice), pytest.raises(SettingsError, match="job type X is in 2 tiers"):
        config()


def test_who_has_used_less_than_his_share_gets_more(installation: Installation) -> None:
    ended(6, Status.DONE, ago=LONG_AGO, group="prod")
    ended(2, Status.DONE, ago=LONG_AGO, owner="bob")
    waiting(1, owner="carol")
    with session() as db:
        assert use.count(db, VO) == 8
    with configured(installation, GROUPS):
        assert recompute() == {"group:idle": 0.001, "group:prod": 3.0}
    with configured(installation, GROUPS + CORRECTED):
        found = recompute()
    # prod has used three of four parts, as it should; carol has used nothing, and bob all.
    assert found["group:prod"] == pytest.approx(3.0) and "group:user" not in found
    assert (found["owner:user/carol"], found["owner:user/bob"]) == pytest.approx((3.0, 0.5))
    assert not any(name.startswith("owner:prod") for name in found)


def test_corrections_that_are_stated_are_those_that_are_started(installation: Installation) -> None:
    ended(3, Status.DONE, ago=LONG_AGO, group="prod")
    waiting(1)
    with session() as db:
        use.count(db, VO)
    stated = """\
Operations:
  lhcb:
    JobScheduling:
      EnableSharesCorrection: true
      ShareCorrections:
        ShareCorrectorsToStart: [WMSHistory]
        WMSHistory: {Groups: {MaxGlobalCorrection: 2, Week: {TimeSpan: 604800, Weight: 80, MaxCorrection: 5}}}
        Other: {Owners: {Group: user}}
"""
    with configured(installation, GROUPS + stated):
        assert recompute() == {"group:idle": 0.001, "group:prod": pytest.approx(2.25), "group:user": 2.0}


@pytest.mark.usefixtures("grouped")
def test_after_a_flush_weights_are_made_again() -> None:
    recompute()
    waiting(1)
    redis().flushall()
    recompute()
    with reading() as db:
        sweep.rebuild(db, VO)
    assert policy("weights") == {"group:idle": "0.001", "group:prod": "3.0"}


def test_a_vo_that_the_registry_does_not_know_has_equal_groups(installation: Installation) -> None:
    assert recompute("belle") == {} and policy("weights", "belle") == {}


@given(slices=st.lists(st.tuples(SLICES, USED), max_size=3), most=st.floats(1, 9))
def test_no_correction_goes_beyond_its_bounds(
    slices: list[tuple[Slice, dict[str, float]]], most: float
) -> None:
    factors = shares.corrected({"a": 1.0, "b": 2.0}, slices, most)
    assert all(1 / most - 1e-9 <= factor <= most + 1e-9 for factor in factors.values())
    largest = max((one.MaxCorrection for one, _ in slices), default=1.0)
    assert all(1 / largest - 1e-9 <= factor <= largest + 1e-9 for factor in factors.values())


@given(share=st.floats(0.1, 100), other=st.floats(0.1, 100))
def test_who_has_used_just_his_share_is_not_corrected(share: float, other: float) -> None:
    expected = {"a": share, "b": other}
    assert shares.corrected(expected, [(Slice(), expected)], 5) == pytest.approx({"a": 1.0, "b": 1.0})
