"""Who is in a VO, in which groups, and what everybody may know of it."""

import pytest
from pydantic import ValidationError

from diracx_tasks.core import config
from diracx_tasks.core.registry import Group, UserEntry, VirtualOrganization, described
from tests.unit.core.documents import WHOLE

LHCB = config.parse(WHOLE, "default.yml").Registry["lhcb"]
ALICE, BOB = LHCB.Users


def test_a_subject_is_found_by_its_name_and_groups_by_their_members() -> None:
    assert LHCB.subject_of("alice") == ALICE and LHCB.subject_of("carol") is None
    assert LHCB.groups_of(BOB).keys() == {"lhcb_user"} and LHCB.groups_of("nobody") == {}


def test_everybody_may_know_groups_and_support_but_no_user() -> None:
    found = described(LHCB)
    assert found.keys() == {"groups", "support", "default_group"}
    assert list(found["groups"]) == ["lhcb_pilot", "lhcb_user"]
    assert found["groups"]["lhcb_user"] == {"properties": ["NormalUser", "PrivateLimitedDelegation"]}
    assert "alice" not in str(found) and ALICE not in str(found)


def test_a_registry_does_not_change_under_its_readers() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        LHCB.DefaultGroup = "other"  # type: ignore[misc]


def test_a_vo_that_says_nothing_is_one() -> None:
    assert VirtualOrganization().DefaultGroup == "" and VirtualOrganization().IdP is None


def test_a_vo_can_be_made_of_its_parts() -> None:
    made = VirtualOrganization(
        DefaultGroup="user",
        Users={"a-1": UserEntry(PreferedUsername="alice")},
        Groups={"user": Group(Properties=frozenset({"NormalUser"}), Users=frozenset({"a-1"}))},
    )
    assert made.groups_of("a-1").keys() == {"user"}


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:b", "x" * 65])
def test_a_name_that_would_break_paths_and_scopes_is_no_username(name: str) -> None:
    with pytest.raises(ValidationError):
        UserEntry(PreferedUsername=name)
