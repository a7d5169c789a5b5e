"""Inputs: what is wrong with them is said where the document declares them."""

from typing import Any

import pytest

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl import inputs
from tests.unit.cwl.documents import HEAD, TOOL, a_bundle, checked, place, refusal

DECLARED = """
inputs:
  text: string
  number: int?
  kind:
    type: [ "null", { type: enum, symbols: [a, b] } ]
  pair:
    type:
      - "null"
      - type: record
        fields: { left: int, right: "File[]" }
  file: { type: "File?", secondaryFiles: [.idx], format: "http://a/b" }
  folder: Directory?
outputs: {}
"""
FILE = {"class": "File", "location": "data.txt", "format": "http://a/b"}
LINES = {"text": 6, "number": 7, "kind": 8, "pair": 10, "file": 15, "folder": 16}


def refused(**given: Any) -> InvalidCwl:
    """The error for inputs of the declared types."""
    return refusal(a_bundle(HEAD + DECLARED, data__txt="x", data__txt__idx="y", lone__txt="z"), **given)


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("text", 5, "text: the value is not string"),
        ("number", "x", "number: 'x' is not int"),
        ("number", 1 << 40, "is not int"),
        ("number", 1.5, "is not int"),
        ("kind", "c", "'c' is not allowed here"),
        ("pair", {"left": "x", "right": []}, "pair.left: 'x' is not int"),
        ("pair", {"right": []}, "the field 'left' is missing"),
        ("pair", {"left": 1, "right": [5]}, "pair.right[]: "),
        ("file", "data.txt", "file: "),
        ("file", {**FILE, "format": "http://a/c"}, "'file' must have the format"),
        ("file", {**FILE, "location": "none.txt"}, "none.txt"),
        ("folder", {"class": "Directory", "location": "none"}, "folder: 'none' is not among the files"),
        ("folder", FILE, "folder: "),
    ],
)
def test_a_wrong_value_points_at_its_declaration(name: str, value: Any, message: str) -> None:
    error = refused(**{"text": "x", name: value})
    assert message in str(error)
    assert {one["file"] for one in error.diagnostics} == {"main.cwl"}
    assert error.diagnostics[0]["line"] == LINES[name]


def test_a_value_of_none_of_several_types_is_one_fault() -> None:
    error = refusal(a_bundle(f"{HEAD}inputs:\n  either: [int, string]\noutputs: {{}}\n"), either=[1])
    assert place(error) == ("main.cwl", 5, 3)
    assert error.diagnostics[0]["advice"] == "Write int or string."


def test_a_missing_value_points_at_its_declaration() -> None:
    error = refused()
    assert str(error) == "the input 'text' is missing"
    assert place(error) == ("main.cwl", 6, 3)


def test_all_missing_values_are_named_at_once() -> None:
    error = refusal(
        a_bundle(
            f"{HEAD}inputs:\n  a: int\n  b: Any\n  c: int?\n  d: {{type: int, default: 1}}\noutputs: {{}}\n"
        )
    )
    assert [one["line"] for one in error.diagnostics] == [5, 6]


def test_a_missing_secondary_file_is_named() -> None:
    error = refused(text="x", file={**FILE, "location": "lone.txt"})
    assert "the secondary file 'lone.txt.idx' is missing" in str(error)


def test_secondary_files_of_the_bundle_are_found() -> None:
    bundle = a_bundle(HEAD + DECLARED, data__txt="x", data__txt__idx="y")
    found = checked(bundle, text="x", file=FILE)["start"]["inputs"]["file"]
    assert [one["location"] for one in found["secondaryFiles"]] == ["bundle:data.txt.idx"]
    assert (found["size"], found["basename"]) == (1, "data.txt")


def test_secondary_files_of_stored_files_come_with_them() -> None:
    where = "sandbox:/S3/b/vo/g/o/sha256:{}.file"
    index = {"class": "File", "location": where.format("1"), "basename": "data.txt.idx"}
    file = {**FILE, "location": where.format("0"), "basename": "data.txt", "secondaryFiles": [index]}
    found = checked(a_bundle(HEAD + DECLARED), text="x", file=file)["start"]["inputs"]["file"]
    assert [one["location"] for one in found["secondaryFiles"]] == [where.format("1")]


def test_a_misspelt_input_is_a_warning() -> None:
    (found,) = checked(a_bundle(TOOL), text="x", txt="y")["warnings"]
    assert (found["severity"], found["message"]) == ("warning", "there is no input 'txt'")
    assert found["advice"] == "Did you mean `text`?"


def test_prefixes_of_formats_are_those_of_the_document() -> None:
    tool = f"{HEAD}inputs: {{f: {{type: File, format: 'edam:1'}}}}\noutputs: {{}}\n$namespaces: {{edam: 'http://e/'}}\n"
    file = {"class": "File", "location": "main.cwl", "format": "edam:1"}
    assert checked(a_bundle(tool), f=file)["start"]["inputs"]["f"]["format"] == "http://e/1"


def test_ontologies_of_the_bundle_tell_which_formats_are_special_cases() -> None:
    subclass = "<http://www.w3.org/2000/01/rdf-schema#subClassOf>"
    ontology = f"<http://e/2> {subclass} <http://e/1> .\n"
    tool = (
        f"{HEAD}inputs: {{f: {{type: File, format: 'http://e/1'}}}}\noutputs: {{}}\n$schemas: [formats.ttl]\n"
    )
    file = {"class": "File", "location": "main.cwl", "format": "http://e/2"}
    checked(a_bundle(tool, formats__ttl=ontology), f=file)
    refusal(a_bundle(tool, formats__ttl="nonsense"), f=file)


def test_the_order_of_values_may_be_yaml() -> None:
    assert inputs.parsed("a: 1\nb: 2026-11-23\nc: {class: File, path: x}") == {
        "a": 1,
        "b": "2026-11-23",
        "c": {"class": "File", "path": "x"},
    }
    assert inputs.parsed("") == {}


@pytest.mark.parametrize("text", ["a: [", "- 1", "x", "1: 2", "a: !!binary aGk=", "a: &a [*a]", "a: 1\na: 2"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidCwl):
        inputs.parsed(text)
