"""What cwltool says, as users read it."""

import time

import pytest
from cwltool.errors import UnsupportedRequirement, WorkflowException
from hypothesis import given
from hypothesis import strategies as st
from schema_salad.exceptions import ValidationException
from schema_salad.sourceline import SourceLine, cmap

from diracx_tasks.core.errors import InvalidCwl, UnsupportedCwl
from diracx_tasks.cwl import diagnostics
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.diagnostics import explain
from diracx_tasks.cwl.phrases import LONGEST, PHRASES, Phrase, said
from diracx_tasks.cwl.places import Places
from tests.unit.cwl.documents import WORKFLOW, a_bundle, assert_readable

BASE = "file:///bundle/0f/"
PARTS = (
    f"{BASE}main.cwl:3:5:",
    "../../bundle/0f/x.cwl:1:1:",
    "checking field 'a'",
    "invalid field 'x', expected one of: ",
    "Field 'class' contains undefined reference to",
    "with sink '",
    "is not among",
    "'x'",
    "* ",
    "\n",
)
WORDS = st.lists(st.sampled_from(PARTS) | st.text(max_size=6), max_size=12).map(" ".join)


def tree(depth: int, text: str) -> ValidationException:
    """An error with children, as schema-salad raises them, with places on the leaves."""
    line = SourceLine(cmap({"a": 1}, fn=f"{BASE}main.cwl"), "a")
    children = [tree(depth - 1, text) for _ in range(2)] if depth else []
    return ValidationException(text if not depth else "", line if not depth else None, children)


@given(WORDS, st.sampled_from([ValidationException, WorkflowException, ValueError, KeyError]), st.booleans())
def test_any_error_becomes_diagnostics(text: str, kind: type[Exception], has_places: bool) -> None:
    places = Places(a_bundle(WORKFLOW)) if has_places else None
    error = explain(kind(text), BASE, "main.cwl", places)
    assert isinstance(error, InvalidCwl) and error.diagnostics
    for one in error.diagnostics:
        assert set(one) == {"severity", "file", "line", "column", "message", "advice"}
        assert "bundle/0f" not in one["message"] and len(one["message"]) <= LONGEST
        assert "bundle/0f" not in one["file"]
        assert (one["line"] is None) == (one["column"] is None)


@given(WORDS, st.integers(0, 3))
def test_an_error_of_many_parts_says_each_once(text: str, depth: int) -> None:
    found = explain(tree(depth, text), BASE, "main.cwl").diagnostics
    assert len({(one["line"], one["message"]) for one in found}) == len(found)


def test_a_long_message_is_read_quickly_and_cut() -> None:
    started = time.monotonic()
    for phrase in (
        "Source '",
        "Scatter parameter '",
        "Expected value of '",
        "Syntax error in parameter reference '",
    ):
        for filler in ("' of type ", "'x", ".", "' to have format ", '"format": "'):
            assert len(said(phrase + filler * 100_000).words) <= LONGEST
    assert time.monotonic() - started < 5


def test_a_message_without_a_place_belongs_to_the_main_document() -> None:
    (found,) = explain(WorkflowException("something odd"), BASE, "main.cwl#main").diagnostics
    assert (found["file"], found["line"], found["message"]) == ("main.cwl", None, "something odd")


def test_the_innermost_cause_is_told() -> None:
    inner = tree(1, "invalid field 'x', expected one of: 'y'")
    try:
        raise WorkflowException(f"Tool definition failed validation:\n{inner}") from inner
    except WorkflowException as error:
        (found,) = explain(error, BASE, "main.cwl").diagnostics
    assert (found["file"], found["line"], found["message"]) == ("main.cwl", 1, "unknown field 'x'")


def test_the_two_halves_of_a_type_mismatch_are_one_fault_at_the_sink() -> None:
    source = f"{BASE}a.cwl:3:1: Source 'x' of type \"int\" is incompatible"
    sink = f"{BASE}a.cwl:9:7:   with sink 'y' of type \"string\""
    (found,) = explain(ValidationException(f"{source}\n{sink}"), BASE, "a.cwl").diagnostics
    assert (found["line"], found["column"]) == (9, 7)
    assert found["message"] == "'x' gives \"int\", but 'y' takes \"string\""


def test_an_invalid_cwl_stays_as_it_is() -> None:
    error = UnsupportedCwl("no")
    assert explain(error, BASE, "x") is error


def test_an_unsupported_requirement_is_unsupported() -> None:
    assert isinstance(explain(UnsupportedRequirement("no MPI here"), BASE, "x"), UnsupportedCwl)


def test_names_are_decoded() -> None:
    (found,) = explain(ValidationException(f"{BASE}a%20b.cwl:1:2: x"), BASE, "main.cwl").diagnostics
    assert found["file"] == "a b.cwl"


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase.pattern[:40])
def test_every_phrase_has_words_and_advice(phrase: Phrase) -> None:
    assert phrase.words and phrase.advice.endswith((".", "?"))


@pytest.mark.parametrize(
    "message, words",
    [
        ("invalid field 'stdot', expected one of: 'stdin', 'stdout'", "unknown field 'stdot'"),
        ("Expression evaluation error:\nError: boo", "Error: boo"),
        ("* checking field 'inputs'\n  missing required field 'type'", "the field 'type' is missing"),
        ("value is a CommentedMap, expected string or Expression", "a mapping cannot stand here"),
        ("All sources for 'o' are null", "pickValue: all sources of 'o' are null"),
        ("the value 'c' is not a valid e-4f1c, expected one of 'a', 'b'", "'c' is not allowed here"),
        ("steps wait: 'main.cwl#main/one'", "steps wait: 'main/one'"),
    ],
)
def test_a_message_is_put_into_plain_words(message: str, words: str) -> None:
    assert said(message).words == words


def test_a_misspelt_field_gets_the_right_spelling() -> None:
    known = "'stdin', 'stdout', 'hints'"
    assert said(f"invalid field 'stdot', expected one of: {known}").advice == "Did you mean `stdout`?"
    assert "stdin, stdout, hints" in said(f"invalid field 'xyz', expected one of: {known}").advice


def test_places_are_found_by_what_stands_there() -> None:
    places = Places(
        a_bundle(WORKFLOW, tool__cwl="cwlVersion: v1.2\nid: echo\n", bad__cwl="a: [", list__yml="- run: x\n")
    )
    assert places.of_value("tool.cwl") == ("main.cwl", 11, 10)
    assert places.of_key("steps") == ("main.cwl", 9, 1)
    assert places.of_name("echo") == ("tool.cwl", 2, 5)
    assert places.of_name("one") == ("main.cwl", 10, 3)
    assert places.above("main.cwl", 11, 10) == ("steps", "one", "run")
    assert places.of_circle() is None
    assert places.of_value("nowhere") is None and places.above("x", 1, 1) == ()


def test_a_circle_of_documents_is_found_through_others() -> None:
    files = {
        "a/x.cwl": "run: ../y.cwl#main",
        "y.cwl": "steps: [{run: ./a/x.cwl}]",
        "main.cwl": "run: a/x.cwl",
    }
    places = Places(Bundle.of({name: text.encode() for name, text in files.items()}, "main.cwl"))
    assert places.of_circle() == ("a/x.cwl", 1, 6)


def test_a_diagnostic_at_a_node_without_a_place_has_none() -> None:
    found = diagnostics.at({}, "x", "words", BASE)
    assert found["line"] is None
    assert_readable(found)
