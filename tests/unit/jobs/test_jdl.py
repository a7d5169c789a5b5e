"""Job descriptions as text: what is understood, what is refused and where, and that nothing else happens."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from diracx_tasks.core.errors import BadRequest
from diracx_tasks.jobs import jdl
from diracx_tasks.jobs.jdl import Ad, Expression, InvalidJdl, Value, parse, render

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.jdl"))
WORDS = st.from_regex(r"[a-zA-Z$*+.][a-z0-9 .:/*+=%@<>()-]{0,10}[a-z0-9]", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\0"))
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,12}", fullmatch=True)
SCALARS: st.SearchStrategy[Any] = st.one_of(
    TEXTS,
    TEXTS.map(lambda text: text + '\\"'),
    st.integers(-(10**18) + 1, 10**18 - 1),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    WORDS.filter(lambda word: word not in ("true", "false")).map(Expression),
)
LISTS = st.recursive(st.lists(SCALARS, max_size=4), lambda inner: st.lists(inner, max_size=3), max_leaves=6)
VALUES = st.recursive(
    SCALARS | LISTS, lambda inner: st.dictionaries(NAMES, inner, max_size=4).map(Ad), max_leaves=8
)
ADS = st.dictionaries(NAMES, VALUES, max_size=6).map(Ad)


def typed(value: Value) -> Any:
    """The value with its types, which == does not look at."""
    if isinstance(value, Ad):
        return [(name, typed(one)) for name, one in sorted(value.items())]
    if isinstance(value, list):
        return [typed(one) for one in value]
    return type(value).__name__, repr(value)


def refused(text: str) -> InvalidJdl:
    with pytest.raises(InvalidJdl) as caught:
        parse(text)
    return caught.value


def test_values_have_their_types() -> None:
    ad = parse("""[ Text = "a b"; Word = User; Number = -5; Real = 1.5; Yes = true; No = false;
        Many = {"a", b, 3, {"c"}}; Inner = [ X = 1; Y = { }; ]; Sum = a + b > "]"; ]""")
    assert list(ad) == ["Text", "Word", "Number", "Real", "Yes", "No", "Many", "Inner", "Sum"]
    assert typed(ad["Text"]) == ("str", "'a b'")
    assert typed(ad["Word"]) == ("Expression", "'User'")
    assert typed(ad["Number"]) == ("int", "-5")
    assert typed(ad["Real"]) == ("float", "1.5")
    assert (ad["Yes"], ad["No"]) == (True, False)
    assert typed(ad["Many"]) == [("str", "'a'"), ("Expression", "'b'"), ("int", "3"), [("str", "'c'")]]
    assert typed(ad["Inner"]) == [("X", ("int", "1")), ("Y", [])]
    assert typed(ad["Sum"]) == ("Expression", "'a + b > \"]\"'")


@pytest.mark.parametrize(
    "text", ["007", "+3", "2.50", "1e5", "True", "0x1F", "-0", "1_000", "-inf", "9" * 19]
)
def test_what_would_be_written_otherwise_keeps_its_own_writing(text: str) -> None:
    ad = parse(f"A = {text};")
    assert typed(ad["A"]) == ("Expression", repr(text))
    assert render(ad) == f"[ \n    A = {text};\n]"


def test_brackets_and_the_last_semicolon_may_be_missing() -> None:
    forms = ["[A = 1; B = 2;]", "A = 1; B = 2;", "A=1;B=2", "\n [A=1;B=2] \n", "[;A=1;;B=2;;]"]
    assert [parse(form) for form in forms] == [{"A": 1, "B": 2}] * 5


def test_names_differ_by_case_and_the_last_of_equal_ones_counts() -> None:
    assert parse("A = 1; a = 2; A = 3;") == {"A": 3, "a": 2}


def test_comments_may_stand_between_attributes() -> None:
    text = '# first\n[ A = "x"; // rest = 1;\n /* B = 2;\n * */ C = 3; # } ] "\n ] // end'
    assert parse(text) == {"A": "x", "C": 3}


def test_what_looks_like_a_comment_in_a_value_is_the_value() -> None:
    ad = parse('A = root://se//file; B = "#no //no /*no*/"; C = #tag; D = {//x, #y};')
    assert ad == {"A": "root://se//file", "B": "#no //no /*no*/", "C": "#tag", "D": ["//x", "#y"]}


def test_strings_hold_everything_that_separates_elsewhere() -> None:
    text = "a;b]c[d}e{f,g=h"
    assert parse(f'A = "{text}"; B = {{"{text}", "{text}"}};') == {"A": text, "B": [text, text]}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r'"say \"hi\""', 'say "hi"'),
        (r'"C:\dir\new"', r"C:\dir\new"),
        (r'"C:\dir\\"', "C:\\dir\\"),
        (r'"a\\b\\\\c"', r"a\\b\\\\c"),
        (r'"\\\"; Owner = \"x"', '\\"; Owner = "x'),
    ],
)
def test_a_backslash_is_one_unless_it_stands_before_a_quote(written: str, meant: str) -> None:
    assert parse(f"A = {written}; B = 1;") == {"A": meant, "B": 1}
    assert parse(f"A = {{{written}}}")["A"] == [meant]


def test_a_line_break_in_a_string_is_dropped() -> None:
    assert parse('A = "one\n two"; B = {"x\ny"}; C = a &&\n b;') == {
        "A": "one two",
        "B": ["xy"],
        "C": "a && b",
    }


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("", 1, 1, "there is nothing in it"),
        (" \n\t", 2, 2, "there is nothing in it"),
        ("# only this", 1, 12, "there is nothing in it"),
        ("]]][[[", 1, 1, "']' after the end of the description"),
        ("[A = 1;", 1, 1, "this record is not closed by ]"),
        ("[A = 1;\n B = [C = 2;]", 1, 1, "this record is not closed by ]"),
        ("A = [\n[", 2, 1, "'[' where a name should begin"),
        ("[A = 1]; B = 2;", 1, 8, "';' after the end of the description"),
        ("A = 1]", 1, 6, "']' after the end of the description"),
        ('A = 1;\n B = "x;', 2, 6, "this string is not closed"),
        ('A = 1;\n B = {"x", "y;', 2, 12, "this string is not closed"),
        ('A = x == "y', 1, 10, "this string is not closed"),
        ('A = {"x",\n"y"', 1, 5, "this list is not closed by }"),
        ("A = {1; B = 2;", 1, 7, "';' where a comma or } should follow"),
        ('A = {"x" "y"};', 1, 10, "'\"' where a comma or } should follow"),
        ("A = {x\n y};", 2, 2, "'y' where a comma or } should follow"),
        ("A = {,};", 1, 6, "',' where an item of a list should be"),
        ("A = {[B = 1;]};", 1, 6, "'[' where an item of a list should be"),
        ('A = "x",;', 1, 9, "a string is missing"),
        ("A = ;", 1, 5, "A has no value"),
        ("A =", 1, 4, "A has no value"),
        ("A = 1;\nB", 2, 2, "no = after B"),
        ("= 1;", 1, 1, "'=' where a name should begin"),
        ("A = 1;\n\n  9 = 2;", 3, 3, "'9' where a name should begin"),
        ('A = "x"\nB = 2;', 2, 1, "'B' where a ; should end the value of A"),
        ("A = x\n  B = 2;", 2, 3, "a ; is missing before B"),
        ('A = "x" == y;', 1, 9, "'=' where a ; should end the value of A"),
        ("A = x{y};", 1, 6, "'{' where a ; should end the value of A"),
        ("A = 1;\nB = 2\0;", 2, 6, "a NUL character"),
        ('A = "\ud800";', 1, 6, "this is half a character"),
        ("/* A = 1;", 1, 1, "'/' where a name should begin"),
    ],
)
def test_errors_say_where_and_what(text: str, line: int, column: int, words: str) -> None:
    problem = refused(text)
    assert str(problem) == f"JDL syntax error: line {line}, column {column}: {words}"
    assert (problem.line, problem.column) == (line, column)
    assert isinstance(problem, BadRequest)


def test_depth_is_bounded() -> None:
    deep = jdl.MAX_DEPTH
    assert parse("A=[" * (deep - 1) + "]" * (deep - 1))
    assert str(refused("A=[" * deep + "]" * deep)).endswith("deeper than 20 levels")
    assert parse("A=" + "{" * (deep - 1) + "}" * (deep - 1) + ";")
    assert str(refused("A=" + "{" * deep + "}" * deep)).endswith("deeper than 20 levels")
    assert str(refused("A=" + "{" * 500_000)).endswith("deeper than 20 levels")


def test_sizes_are_bounded() -> None:
    limit = jdl.MAX_TEXT
    assert parse('A="' + "x" * (limit - 4) + '"')
    assert "1048577 characters, 1048576 at most" in str(refused('A="' + "x" * (limit - 3) + '"'))
    assert len(parse("".join(f"A{i}=1;" for i in range(jdl.MAX_ATTRIBUTES)))) == jdl.MAX_ATTRIBUTES
    assert "more than 1000 attributes" in str(refused("A=1;" * 1001))
    assert "more than 1000 attributes" in str(refused("A=[" + "A=[B=1;];" * 501 + "]"))
    for item in ('"x",', "x,", "{},"):
        assert parse("A={" + item * 50_000 + "}")
        assert "more than 100000 items" in str(refused("A={" + item * 100_001 + "}"))
    assert "more than 100000 items" in str(refused("A=" + '"x",' * 100_001 + '"x"'))
    assert "more than 100000 items" in str(refused(("A={" + '"x",' * 50_001 + "};") * 2))


@pytest.mark.parametrize(
    "text",
    [
        "A=x" + "\n" * 900_000 + ";",
        'A="' + "\\" * 900_000 + '";',
        "A=x" + "\na a" * 250_000 + ";",
        "%(" * 500_000,
    ],
)
def test_long_runs_of_one_thing_are_read_once(text: str) -> None:
    """A quadratic reader would need hours, and the test's own limit ends it."""
    try:
        ad = parse(text)
    except InvalidJdl:
        return
    assert parse(render(ad)) == ad


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_description_survives_being_written_and_read(path: Path) -> None:
    ad = parse(path.read_text())
    again = parse(render(ad))
    assert typed(again) == typed(ad)
    assert render(again) == render(ad)


@given(ADS)
@example(Ad(A="\\"))
@example(Ad(A='\\"', B=['"', "\\\\"]))
def test_everything_survives_being_written_and_read(ad: Ad) -> None:
    assert typed(parse(render(ad))) == typed(ad)


@given(st.text() | st.text('[]{}=;,"\\ \n\0abA1-.#/*%()', max_size=60))
@example("A=[B=[C=1];")
def test_no_text_does_anything_but_be_read_or_refused(text: str) -> None:
    try:
        ad = parse(text)
    except InvalidJdl as problem:
        assert problem.line is not None and problem.column is not None
        assert 1 <= problem.line <= text.count("\n") + 1 and problem.column >= 1
    else:
        assert typed(parse(render(ad))) == typed(ad)


def test_accessors_read_what_people_write() -> None:
    ad = parse(
        'A = "5"; B = x; C = {"one"}; D = {a, "b", 3}; E = "a, b,,c"; F = True; G = [ X = 1; ]; H = 2.5;'
    )
    assert [ad.text(name) for name in "ABCFHZ"] == ["5", "x", "one", "True", "2.5", ""]
    assert [ad.integer(name) for name in "AZ"] == [5, None]
    assert [ad.strings(name) for name in "DECZ"] == [["a", "b", "3"], ["a", "b", "c"], ["one"], []]
    assert [ad.boolean(name) for name in "FBZ"] == [True, False, False]
    assert type(ad.text("B")) is str
    for wrong in (lambda: ad.text("D"), lambda: ad.text("G"), lambda: ad.strings("G")):
        with pytest.raises(InvalidJdl, match="this is not one text"):
            wrong()
    for name in "BH":
        with pytest.raises(InvalidJdl, match=f"{name}: .* is not a whole number"):
            ad.integer(name)
