"""Names that a database takes for one are refused: what is one user's or one VO's must not be another's."""

import pytest

from diracx_tasks.core import config
from diracx_tasks.core.errors import SettingsError
from tests.unit.core.documents import SMALL

SECOND = "      other: {{PreferedUsername: {name}}}\n    Groups:"
ALIKE = ["alice", "Alice", "ALICE", "alicé", "àlice", "al\u0131ce", "\uff41lice", "'alice '"]
DIFFERENT = ["alice2", "alic", "a-lice", "bob", "ålicf"]
VOS = ["LHCb", "lhcB", "lhćb"]


def with_user(name: str) -> str:
    """A configuration of alice, and of a second user of that name."""
    return SMALL.replace("    Groups:", SECOND.format(name=name))


def with_vo(name: str) -> str:
    """A configuration of lhcb, and of a second VO of that name."""
    whole, section = SMALL.split("  lhcb:\n")
    return f"{whole}  lhcb:\n{section}  {name}:\n{section}"


@pytest.mark.parametrize("name", ALIKE)
def test_two_users_whose_names_differ_in_capitals_or_accents_only_are_refused(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        config.parse(with_user(name), "default.yml")
    words = str(refused.value)
    assert words.startswith("default.yml:8: Registry.lhcb.Users.b824d4dc-1f9d-4ee8-8df5-c0ae55d46041.")
    assert "PreferedUsername: 'alice' is the name of 2 users; capitals and accents make no diff" in words


@pytest.mark.parametrize("name", DIFFERENT)
def test_users_whose_names_differ_in_more_are_two_users(name: str) -> None:
    users = config.parse(with_user(name), "default.yml").Registry["lhcb"].Users
    assert [user.PreferedUsername for user in users.values()] == ["alice", name]


def test_users_of_two_vos_may_have_the_same_name() -> None:
    assert list(config.parse(with_vo("belle"), "default.yml").Registry) == ["lhcb", "belle"]


@pytest.mark.parametrize("name", VOS)
def test_two_vos_whose_names_differ_in_capitals_or_accents_only_are_refused(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        config.parse(with_vo(name), "default.yml")
    both = " and ".join(sorted(["lhcb", name]))
    # Not at one of their lines: neither is the wrong one.
    assert str(refused.value).startswith("default.yml:2: Registry: ")
    assert f"{both} differ in capitals or accents only" in str(refused.value)
