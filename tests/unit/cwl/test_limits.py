"""Limits on YAML texts: what passes is small, and finding out is fast."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl.limits import LONG, MAX_DEPTH, MAX_NODES, MAX_TEXT, check_text

YAML = st.text(st.sampled_from("ab1 :-,[]{}\n\t\"'&*!|>#%@`?~.\\\u2028\ufeff\x00é"), max_size=80)


def refused(text: str | bytes) -> InvalidCwl:
    """The error for a text."""
    with pytest.raises(InvalidCwl) as caught:
        check_text("x.cwl", text if isinstance(text, bytes) else text.encode())
    return caught.value


def bomb(levels: int, width: int = 10) -> str:
    """A text that holds width ** levels nodes once its aliases are expanded."""
    lines = [f"a0: &a0 [{', '.join('x' * width)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


@given(
    st.binary(max_size=200) | YAML.map(str.encode) | st.text().map(lambda text: text.encode(errors="replace"))
)
@example(b"? [a]\n: b")
@example(b"%YAML 1.1\n---\n!!python/object:os.system x")
@example(b"!<tag:yaml.org,2002:str> x")
@example(b"--- |\n\x0b")
def test_a_text_passes_or_is_invalid_cwl(content: bytes) -> None:
    for must_be_yaml in (True, False):
        try:
            check_text("x", content, must_be_yaml=must_be_yaml)
        except InvalidCwl as error:
            assert error.diagnostics[0]["message"]


@pytest.mark.parametrize("levels", [6, 12, 50, 400])
def test_an_alias_bomb_is_refused_where_it_becomes_too_big(levels: int) -> None:
    started = time.monotonic()
    error = refused(bomb(levels))
    assert time.monotonic() - started < 2
    assert f"more than {MAX_NODES} nodes" in str(error)
    assert error.diagnostics[0]["line"] == 6


def test_the_time_grows_with_the_length_of_the_text() -> None:
    def seconds(lines: int) -> float:
        text = "\n".join(f"k{n}: [&b{n} {{x: 1}}, *b{n}]" for n in range(lines)).encode()
        started = time.process_time()
        check_text("x", text)
        return time.process_time() - started

    seconds(10)
    assert seconds(4000) < 20 * max(seconds(400), 0.02)


def test_an_alias_of_what_it_stands_in_is_refused() -> None:
    assert "stands inside what it stands for" in str(refused("a: &x [1, {b: *x}]"))


def test_aliases_that_stay_small_pass() -> None:
    check_text("x", b"a: &a {x: 1}\nb: *a\nc: [*a, *a]\n")


@pytest.mark.parametrize("opening, closing", [("[", "]"), ("{a: ", "}")])
def test_a_deep_text_is_refused_at_the_level_that_is_too_deep(opening: str, closing: str) -> None:
    error = refused(opening * 3000 + closing * 3000)
    assert f"nested deeper than {MAX_DEPTH} levels" in str(error)
    assert (error.diagnostics[0]["line"], error.diagnostics[0]["column"]) == (1, MAX_DEPTH * len(opening) + 1)


def test_block_mappings_count_as_levels_too() -> None:
    text = "".join(f"{' ' * n}a:\n" for n in range(100))
    assert "nested deeper" in str(refused(text))


def test_a_long_text_is_refused_without_being_read() -> None:
    assert f"{MAX_TEXT} bytes" in str(refused(b"x" * (MAX_TEXT + 1)))


def test_text_that_is_not_utf8_says_at_which_byte() -> None:
    assert "byte 2" in str(refused(b"ab\xff"))


def test_broken_yaml_has_a_place() -> None:
    found = refused("a: [1\nb: 2\n").diagnostics[0]
    assert (found["file"], found["line"]) == ("x.cwl", 2)


@pytest.mark.parametrize("text", ["a: [1\n", "a: \x0b", "- b\n c: *nothing"])
def test_a_long_text_is_held_to_the_same(text: str) -> None:
    long = "# words\n" * (LONG // 8 + 1)
    assert str(refused(long + text)) == str(refused("# words\n" + text))
    assert "nested deeper" in str(refused(long + "[" * 3000 + "]" * 3000))
    assert f"more than {MAX_NODES} nodes" in str(refused(long + bomb(12)))
    check_text("x", (long + "a: [b, {c: *d}]\nd: &d 1\n").replace("*d", "e").encode())


def test_what_need_not_be_yaml_is_held_to_the_limits_only() -> None:
    check_text("x.js", b"function f() { return [1; }", must_be_yaml=False)
    with pytest.raises(InvalidCwl, match="nodes"):
        check_text("x.txt", bomb(12).encode(), must_be_yaml=False)
