"""Additions to a YAML text: everything else stays, in whatever style it is written."""

import copy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.insert import append, put

BLOCK = """\
# What this is
Registry:   # all of them
  lhcb:
    Users:
      # the first
      a-1: {PreferedUsername: alice}   # she

    # Groups of people
    Groups:
      user:
        Users:
          - a-1   # herself

          # nobody else
        Properties: [NormalUser]

# The rest
Operations: {}
"""


def test_a_key_goes_below_the_last_one_and_above_the_comments_that_follow() -> None:
    made = put(BLOCK, ("Registry", "lhcb", "Users"), "b-2", {"PreferedUsername": "bob"})
    before = "      a-1: {PreferedUsername: alice}   # she\n"
    assert made == BLOCK.replace(before, before + "      b-2: {PreferedUsername: bob}\n")


def test_an_item_goes_below_the_last_one() -> None:
    made = append(BLOCK, ("Registry", "lhcb", "Groups", "user", "Users"), "b-2")
    before = "          - a-1   # herself\n"
    assert made == BLOCK.replace(before, before + "          - b-2\n")


def test_an_item_goes_into_a_list_in_brackets() -> None:
    made = append(BLOCK, ("Registry", "lhcb", "Groups", "user", "Properties"), "Operator")
    assert made == BLOCK.replace("[NormalUser]", "[NormalUser, Operator]")


def test_nothing_in_braces_becomes_a_block() -> None:
    made = put(BLOCK, ("Operations",), "lhcb", {"Pilot": {"a": [1, 2]}})
    assert made == BLOCK.replace("Operations: {}\n", "Operations:\n  lhcb:\n    Pilot:\n      a: [1, 2]\n")


@pytest.mark.parametrize(
    ("text", "made"),
    {
        "{}\n": "Registry:\n  b: {x: 1}\n",
        "# c\n{} # d\n": "# c\nRegistry:\n  b: {x: 1}\n# d\n",
        "Registry:": "Registry:\n  b: {x: 1}\n",
        "Registry: ~   # c\nLogLevel: 1": "Registry:   # c\n  b: {x: 1}\nLogLevel: 1",
        "Registry: {}   # c": "Registry:   # c\n  b: {x: 1}\n",
        "Registry: {a: {}}": "Registry: {a: {}, b: {x: 1}}",
        "{Registry: {a: {}}}": "{Registry: {a: {}, b: {x: 1}}}",
        "{Registry: {}}": "{Registry: {b: {x: 1}}}",
        "{Registry: ~}": "{Registry: {b: {x: 1}}}",
        "LogLevel: |\n  one\n  two\n\n": "LogLevel: |\n  one\n  two\n\nRegistry:\n  b: {x: 1}\n",
        "LogLevel: one\n  two # c\n": "LogLevel: one\n  two # c\nRegistry:\n  b: {x: 1}\n",
        "Registry:\n    a:\n        y: 1\n": "Registry:\n    a:\n        y: 1\n    b: {x: 1}\n",
        "a: &x 1\nRegistry:\n  c: *x\n# d\n": "a: &x 1\nRegistry:\n  c: *x\n  b: {x: 1}\n# d\n",
        "---\nRegistry:\n  a:\n...\n": "---\nRegistry:\n  a:\n  b: {x: 1}\n...\n",
    }.items(),
)
def test_a_mapping_in_any_style_gets_a_key_more(text: str, made: str) -> None:
    assert put(text, ("Registry",), "b", {"x": 1}) == made


@pytest.mark.parametrize(
    ("text", "made"),
    {
        "a: {Users: ~}": "a: {Users: [x]}",
        "a: {Users: []}": "a: {Users: [x]}",
        "a:\n  Users:  # c\nb: 1": "a:\n  Users: [x]  # c\nb: 1",
        "a:\n  Users:\n  - y\n# c\n": "a:\n  Users:\n  - y\n  - x\n# c\n",
        "a: {}": "a:\n  Users: [x]\n",
        "a: {b: 1}": "a: {b: 1, Users: [x]}",
        "b: 1\n": "b: 1\na:\n  Users: [x]\n",
    }.items(),
)
def test_a_list_in_any_style_gets_an_item_more(text: str, made: str) -> None:
    assert append(text, ("a", "Users"), "x") == made


@pytest.mark.parametrize("value", ["yes", "012", "1e5", "12:30", "~", "a: b", "x#y", " z ", "ä", "*a", "-"])
def test_what_looks_like_something_else_is_quoted(value: str) -> None:
    made = append(put("{}", ("Users",), value, {value: value}), ("List",), value)
    assert yaml.safe_load(made) == {"Users": {value: {value: value}}, "List": [value]}


@pytest.mark.parametrize(
    "text", ["a: &x {b: 1}\nRegistry: *x\n", "a: &x {b: 1}\nRegistry:\n  <<: *x\n  lhcb: *x"]
)
def test_what_is_an_alias_is_not_changed_behind_the_others_backs(text: str) -> None:
    with pytest.raises(SettingsError, match="alias of line 1: it must be edited by hand"):
        put(text, ("Registry", "lhcb") if "lhcb" in text else ("Registry",), "b", 1)


@pytest.mark.parametrize("text", ["Registry: 5", "Registry: [a]"])
def test_what_is_no_mapping_gets_no_key(text: str) -> None:
    with pytest.raises(SettingsError, match="Registry is no mapping: it must be edited by hand"):
        put(text, ("Registry",), "b", 1)


NAMES = st.sampled_from(["a", "b", "c", "yes", "1", "d e"])
CONTENT = st.dictionaries(
    NAMES,
    st.recursive(
        st.none() | st.integers() | st.sampled_from(["x", "two words", "multi\nline\n", "", "#"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(CONTENT, st.lists(NAMES, min_size=1, max_size=3), st.sampled_from([None, True, False]), st.booleans())
def test_an_addition_is_right_or_refused_in_any_document(
    content: dict[str, Any], path: list[str], flow: bool | None, is_item: bool
) -> None:
    text = "".join(
        f"{line}{'' if flow or '|' in line or '>' in line else ' # c'}\n"
        for line in yaml.safe_dump(content, default_flow_style=flow, width=1000).splitlines()
    )
    if yaml.safe_load(text) != content:
        text = yaml.safe_dump(content, default_flow_style=flow)
    try:
        made = append(text, tuple(path), "new") if is_item else put(text, tuple(path), "new", {"x": [1]})
    except SettingsError as error:
        assert "must be edited by hand" in str(error)
        return
    expected: Any = {"": copy.deepcopy(content)}
    target = expected
    for part in ["", *path[:-1]]:
        target[part] = {} if target.get(part) is None else target[part]
        target = target[part]
    old = target.get(path[-1])
    target[path[-1]] = [*(old or []), "new"] if is_item else {**(old or {}), "new": {"x": [1]}}
    assert yaml.safe_load(made) == expected[""]
