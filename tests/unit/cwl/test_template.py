"""Inputs files to be filled in: valid as they are, and complete."""

from typing import Any

import pytest
from ruamel.yaml import YAML

from diracx_tasks.cwl import check
from diracx_tasks.cwl.load import base_uri
from diracx_tasks.cwl.template import template
from tests.unit.cwl.documents import HEAD, a_bundle, checked

TYPES = """requirements:
  SchemaDefRequirement:
    types:
      - {name: Mode, type: enum, symbols: [fast, slow]}
      - name: Cuts
        type: record
        fields: {low: float, mode: Mode, tags: "string[]", more: {type: {type: array, items: [int, string]}}}
"""
KINDS = (
    *("string", "int", "long", "float", "double", "boolean", "Any", "File", "Directory", "Mode", "Cuts"),
    *("'Cuts[]'", "'int[]'", "[int, string]", "{type: array, items: {type: array, items: File}}"),
    *("{type: enum, symbols: [a, b]}", "{type: record, fields: {x: {type: {type: enum, symbols: [p]}}}}"),
)


def written(document: str, **files: str) -> str:
    """The template of a tool."""
    bundle = a_bundle(document, **files)
    return template(check.loaded(bundle), base_uri(bundle))


def read(text: str) -> dict[str, Any]:
    """An inputs file as the product reads it."""
    found: dict[str, Any] = YAML(typ="safe").load(text)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_placeholders_of_every_type_pass_the_check(kind: str) -> None:
    document = f"{HEAD}{TYPES}inputs: {{x: {{type: {kind}}}}}\noutputs: []\n"
    files = {"path/of/the/file": b"", "path/of/the/folder/inside": b""}
    bundle = a_bundle(document)
    given = read(template(check.loaded(bundle), base_uri(bundle)))
    bundle.files.update(files)

    assert list(given) == ["x"]
    assert checked(bundle, **given)["start"]["inputs"]["x"] is not None


def test_inputs_stand_in_the_documents_order_with_their_descriptions_and_types() -> None:
    text = written(
        HEAD
        + """inputs:
  zeta: {type: int, label: The last letter, doc: "of the\\n\\nGreek alphabet"}
  alpha: {type: {type: enum, symbols: [b, a]}, doc: [first, second]}
  reads: {type: File, secondaryFiles: [^.bai, {pattern: .idx, required: false}]}
outputs: []
"""
    )

    assert text == (
        "# The last letter\n# of the\n#\n# Greek alphabet\n# int\nzeta: 0\n\n"
        "# first\n# second\n# enum, one of b, a\nalpha: b\n\n"
        "# File, with ^.bai, .idx beside it\nreads:\n  class: File\n  path: path/of/the/file\n"
    )


def test_what_may_be_left_out_is_a_comment_that_can_be_made_a_value() -> None:
    text = written(
        f"""{HEAD}inputs:
  text: {{type: string?}}
  times: {{type: int, default: 3}}
  data: {{type: File, default: {{class: File, location: data/a b.txt}}}}
outputs: []
""",
        **{"data/a b__txt": "x"},
    )
    values = [line.removeprefix("# ") for line in text.splitlines() if ":" in line]

    assert not read(text)
    assert "# string?, may be left out\n# text: text\n" in text
    assert read("\n".join(values)) == {
        "text": "text",
        "times": 3,
        "data": {"class": "File", "location": "data/a b.txt"},
    }


def test_a_tool_without_inputs_has_an_empty_mapping() -> None:
    assert read(written(f"{HEAD}inputs: []\noutputs: []\n")) == {}
