"""Expressions over tags: what they mean, their normal form, and what is wrong with them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.matching.tags import InvalidTags, all_of, demanded, holds, names_in, parse, render

NAMES = ["cvmfs:lhcb", "os:el9", "a", "b", "diracx:site:LCG.CERN.ch", "x/y@z=1+2-3_4", "GPU"]
offers = st.sets(st.sampled_from(NAMES))


def blanks(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from([text, f" {text}", f"{text} ", f"\n{text}\t "])


def expressions() -> st.SearchStrategy[str]:
    """Texts, with more brackets and blanks than they need."""
    return st.recursive(
        st.sampled_from(NAMES).flatmap(blanks),
        lambda inner: st.one_of(
            inner.map(lambda one: f"~({one})"),
            inner.map(lambda one: f"(({one}))"),
            inner.map(lambda one: f"~~({one})"),
            st.lists(inner, min_size=2, max_size=4).map(" & ".join),
            st.lists(inner, min_size=2, max_size=4).map(" | ".join),
            st.tuples(inner, inner).map(lambda two: f"~({two[0]}) & ({two[1]})"),
        ),
        max_leaves=20,
    )


def python_says(text: str, offered: set[str]) -> bool:
    """Python's own reading: `not`, `and` and `or` bind in the same order."""
    words = {"&": " and ", "|": " or ", "~": " not ", "(": "(", ")": ")"}
    found = re.findall(r"[&|~()]|[^&|~()\s]+", text)
    return bool(eval("".join(words.get(one) or str(one in offered) for one in found)))


@given(expressions(), offers)
def test_an_expression_means_what_python_would_say(text: str, offered: set[str]) -> None:
    assert holds(parse(text), offered) == python_says(text, offered)


@given(expressions())
def test_what_is_written_of_an_expression_is_the_same_expression(text: str) -> None:
    tree = parse(text)
    assert parse(render(tree)) == tree
    assert set(names_in(tree)) <= {*NAMES, "never"}


@given(expressions(), expressions(), expressions())
def test_the_order_in_which_parts_stand_and_repeats_make_no_difference(x: str, y: str, z: str) -> None:
    for operator in "&|":
        one = f"({x}) {operator} ({y}) {operator} ({z})"
        other = f"({z}) {operator} (({y}) {operator} ({x})) {operator} ({z})"
        assert parse(one) == parse(other)
        assert parse(f"~(({x}) {operator} ({y}))") == parse(f"~(({y}) {operator} ({x}))")
    assert parse(f"~~({x})") == parse(x)
    assert parse(f"~(({x}) & ({y}))") == parse(f"~({x}) | ~({y})")


@given(expressions(), offers)
def test_a_node_that_meets_an_expression_offers_every_tag_it_demands(text: str, offered: set[str]) -> None:
    tree = parse(text)
    if holds(tree, offered):
        assert set(demanded(tree)) <= offered


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("a", "a"),
        ("b&a", "a & b"),
        ("a | b & c", "a | (b & c)"),
        ("(a | b) & c", "c & (a | b)"),
        ("~(a | ~b)", "b & ~a"),
        ("a & (a | b)", "a"),
        ("a | a & b", "a"),
        ("~~~a", "~a"),
        ("a & (~a | b)", "a & b"),
        ("(GPU | x) & ~GPU", "x & ~GPU"),
        ("a | (~a & b)", "a | b"),
        ("a & (~a | (b & c))", "a & b & c"),
        ("a & (b | ~a) & (c | ~b)", "a & b & c"),
        ("b & a & ~a", "never & ~never"),
        ("~a & ~b & (a | b)", "never & ~never"),
        ("c & (a | ~a)", "c"),
        ("a & (b & (c & a))", "a & b & c"),
        ("cvmfs:lhcb & (os:ubuntu26 | os:el9) & ~site:Z", "cvmfs:lhcb & (os:el9 | os:ubuntu26) & ~site:Z"),
    ],
)
def test_an_expression_has_one_normal_form(text: str, normal: str) -> None:
    assert render(parse(text)) == normal


def test_several_expressions_must_all_hold_and_none_asks_for_nothing() -> None:
    assert all_of([]) is None
    assert all_of([parse("a | ~a")]) is None
    assert all_of([parse("b | c"), parse("a & d")]) == parse("a & d & (b | c)")


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "the end instead of a tag, ~ or ("),
        ("a &", 4, "the end instead of a tag"),
        ("a b", 3, "'b' instead of & or |"),
        ("a & | b", 5, "'|' instead of a tag, ~ or ("),
        ("(a | b", 7, "the end instead of &, | or the ) of the ( in column 1"),
        ("a)", 2, "')' instead of & or |"),
        ("a & é", 5, "'é' cannot stand in a tag"),
        ("a , b", 3, "',' cannot stand in a tag"),
        ("a && b", 4, "'&' instead of a tag"),
        ("()", 2, "')' instead of a tag"),
        ("(" * 65 + "a" + ")" * 65, 65, "nested 64 deep at most"),
        (" & ".join(f"t{n}" for n in range(257)), 1, "256 names at most, this one 257"),
        ("a" * 256, 1, "255 characters at most"),
        ("a" * 5000, 4096, "4096 characters at most, this one 5000"),
    ],
)
def test_a_wrong_expression_is_refused_at_its_column(text: str, column: int, words: str) -> None:
    with pytest.raises(InvalidTags, match=re.escape(words)) as caught:
        parse(text)
    assert caught.value.column == column
    assert str(caught.value).startswith(f"column {column}: ")


@pytest.mark.parametrize(
    "text",
    ["(" * 64 + "a" + ")" * 64, " & ".join(["(a | b)"] * 80), "~" * 4000 + "a", " | ".join("abcdefgh" * 30)],
)
def test_a_large_expression_within_the_limits_is_read(text: str) -> None:
    assert parse(render(parse(text))) == parse(text)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        assert parse(render(parse(text))) == parse(text)
    except InvalidTags as error:
        assert 1 <= error.column <= len(text) + 1
