"""Our reading of job descriptions against DIRACCommon's: the same, but for its defects, each named here."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from DIRACCommon.Core.Utilities.ClassAd.ClassAdLight import ClassAd
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.jobs.jdl import Ad, InvalidJdl, parse, render

CORPUS = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "corpus").glob("*.jdl"))}
# DIRAC writes a list without braces as it came, and tears items with commas in them.
LAID_OUT_OTHERWISE = {"lists_without_braces", "parametric_files"}
BLANKS = st.sampled_from(["", " ", "\n", "  \n\t "])
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}(\.[A-Za-z]{1,4})?", fullmatch=True)
PLAIN = st.text("abcXYZ019 .:/-_+*?!=<>()|&$@#%^~'`äμ", max_size=12)
SCALARS = st.one_of(
    PLAIN.map(lambda text: f'"{text}"'),
    st.integers(-(10**17), 10**17).map(str),
    st.floats(-1e6, 1e6).map(repr),
    st.sampled_from(["true", "false", "True", "User", "std.out", "a.b + c > 5", "007", "2.50"]),
)


class Endless(Exception):
    """The reader does not come to an end."""


def theirs(text: str) -> Any:
    """DIRAC's record of a text, with the brackets that its services put around it."""
    text = text.strip()
    return ClassAd(text if text.startswith("[") and text.endswith("]") else f"[{text}]")


@contextmanager
def not_for_long() -> Iterator[None]:
    """Raise Endless in what goes on and on."""

    def stop(*_: Any) -> None:
        raise Endless

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.3)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def packed(items: list[str]) -> list[str]:
    """Items without blanks, as DIRAC makes them, and without empty ones, which nobody uses."""
    return [found for item in items if (found := item.replace(" ", "").replace("\t", ""))]


def number(ad: Ad, name: str) -> int | None:
    try:
        return ad.integer(name)
    except InvalidJdl:
        return None


def is_long(ad: Ad, name: str) -> bool:
    """Whether it is a number only to Python: of more digits than a column has, or with underscores."""
    return len(ad.text(name)) > 19 or "_" in ad.text(name)


def assert_same(text: str, same_layout: bool = True) -> None:
    """Both read the same attributes with the same values, and lay them out in the same way."""
    ours, peer = parse(text), theirs(text)
    assert list(ours) == peer.getAttributes()
    for name, value in ours.items():
        if isinstance(value, Ad):
            assert peer.get_expression(name).startswith("[")
        elif isinstance(value, list):
            if not any(isinstance(item, list) for item in value):
                assert packed(ours.strings(name)) == packed(peer.getListFromExpression(name))
        else:
            assert ours.text(name).replace('"', "") == peer.getAttributeString(name)
            assert ours.boolean(name) == peer.getAttributeBool(name)
            assert number(ours, name) == (None if is_long(ours, name) else peer.getAttributeInt(name))
            if "{" not in ours.text(name):
                assert packed(ours.text(name).replace('"', "").split(",")) == packed(
                    peer.getListFromExpression(name)
                )
    if same_layout:
        assert render(ours) == peer.asJDL()


@pytest.mark.parametrize("name", CORPUS)
def test_the_corpus_means_the_same(name: str) -> None:
    assert_same(CORPUS[name], same_layout=name not in LAID_OUT_OTHERWISE)


def test_the_corpus_is_a_corpus() -> None:
    assert len(CORPUS) >= 25


@pytest.mark.parametrize("name", CORPUS)
def test_dirac_reads_what_we_write(name: str) -> None:
    ours = parse(CORPUS[name])
    peer = ClassAd(render(ours))
    assert sorted(ours) == peer.getAttributes()
    lists = [one for one, value in ours.items() if isinstance(value, list) and one != "Parameters"]
    assert {one: packed(ours.strings(one)) for one in lists} == {
        one: packed(peer.getListFromExpression(one)) for one in lists
    }


@st.composite
def written(draw: Any, depth: int = 0) -> str:
    """A description as people may write one that DIRAC reads without a mistake."""
    parts = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=5)):
        kind = draw(st.integers(0, 3 if depth < 2 else 2))
        if kind == 3:
            value = f"[{draw(BLANKS)}{draw(written(depth=depth + 1))}{draw(BLANKS)}]"
            parts.append(f"{draw(BLANKS)}{name}{draw(BLANKS)}={draw(BLANKS)}{value};")
            continue
        value = draw(SCALARS)
        if kind == 2:
            items = draw(st.lists(SCALARS, max_size=4))
            value = "{" + draw(BLANKS) + f"{draw(BLANKS)},{draw(BLANKS)}".join(items) + draw(BLANKS) + "}"
        parts.append(f"{draw(BLANKS)}{name}{draw(BLANKS)}={draw(BLANKS)}{value}{draw(BLANKS)};")
    return "".join(parts)


@given(written(), BLANKS)
def test_generated_descriptions_mean_the_same(body: str, blank: str) -> None:
    assert_same(f"{blank}[{body}{blank}]")


def is_theirs(ad: Any) -> bool:
    return not isinstance(ad, Ad)


def word(ad: Any, name: str = "A") -> Any:
    return ad.getAttributeString(name) if is_theirs(ad) else ad.text(name)


def items(ad: Any, name: str = "A") -> Any:
    return ad.getListFromExpression(name) if is_theirs(ad) else ad.strings(name)


def layout(ad: Any) -> Any:
    return (ad.asJDL() if is_theirs(ad) else render(ad)).split("\n")


DEFECTS: dict[str, tuple[str, Callable[[Any], Any], Any, Any]] = {
    "a semicolon in a string ends the value": ('A = "x; y"; B = 1;', word, "x", "x; y"),
    "blanks inside items are removed": ('A = {"x y", "z"};', items, ["xy", "z"], ["x y", "z"]),
    "blanks inside words of lists are removed": ("A = {x y, z};", items, ["xy", "z"], ["x y", "z"]),
    "a quote cannot be written": (r'A = "x \"y\"";', word, "x \\y\\", 'x "y"'),
    "an underscore may stand in a number": (
        "A = 1_000;",
        lambda ad: ad.getAttributeInt("A") if is_theirs(ad) else number(ad, "A"),
        1000,
        None,
    ),
    "a comma in an item tears it when it is written": (
        'A = {"x,y"};',
        layout,
        ["[ ", "    A = ", "        {", '            "x,', '            y"', "        };", "]"],
        ["[ ", "    A = ", "        {", '            "x,y"', "        };", "]"],
    ),
    "a comma after the last item becomes an empty line": (
        'A = {"x",};',
        layout,
        ["[ ", "    A = ", "        {", '            "x",', "            ", "        };", "]"],
        ["[ ", "    A = ", "        {", '            "x"', "        };", "]"],
    ),
    "a comment becomes part of a name": (
        "# note\nA = 1;",
        lambda ad: ad.getAttributes() if is_theirs(ad) else list(ad),
        ["# note\nA"],
        ["A"],
    ),
}
# What DIRAC takes for valid although it is not, and what it makes of it.
ACCEPTED = {
    "a missing semicolon joins two attributes": ('A = "x"\nB = "y";', {"A": '"x"B = "y"'}),
    "a missing semicolon joins words": ("A = x\nB = 1;", {"A": "xB = 1"}),
    "a string need not end": ('A = "x; B = 1;', {"A": '"x', "B": "1"}),
    "a list need not end": ('A = {"x"; B = 1;', {"A": '{"x"', "B": "1"}),
    "an empty value empties the description": ("A = 1; B =; C = 2;", {}),
    "a missing item is an empty one": ("A = {,};", {"A": "{,}"}),
    "text after the description empties it": ("[A = 1;] B", {}),
    "any text may be a name": ("7 @ = 1;", {"7 @": "1"}),
    "a name alone is nothing": ("A = 1; B", {"A": "1"}),
    "NUL is a character": ('A = "\0";', {"A": '"\0"'}),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_dirac_is_not_ours(defect: str) -> None:
    text, look, of_dirac, of_ours = DEFECTS[defect]
    assert look(theirs(text)) == of_dirac
    assert look(parse(text)) == of_ours


@pytest.mark.parametrize("defect", ACCEPTED)
def test_what_dirac_takes_for_valid_is_refused(defect: str) -> None:
    text, contents = ACCEPTED[defect]
    peer = ClassAd(text) if text.startswith("[") else theirs(text)
    assert peer.contents == contents
    with pytest.raises(InvalidJdl):
        parse(text)


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_dirac_falls_over_empty_text(text: str) -> None:
    with pytest.raises(IndexError):
        ClassAd(text)
    with pytest.raises(InvalidJdl):
        parse(text)


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("[A = [B = 1;] ; C = 2;]", {"A": {"B": 1}, "C": 2}),
        ("[A = 1; B = [C = 1]]", {"A": 1, "B": {"C": 1}}),
        ('[A = "x[1]"; B = 1;]', {"A": "x[1]", "B": 1}),
    ],
)
def test_dirac_never_ends_where_no_semicolon_follows_a_bracket(text: str, ours: dict[str, Any]) -> None:
    with not_for_long(), pytest.raises(Endless):
        ClassAd(text)
    assert parse(text) == ours
