"""What documents name that only the server knows, at its place in the text."""

from typing import Any

from diracx_tasks.cwl.load import base_uri, load
from diracx_tasks.cwl.mentions import mentions
from tests.unit.cwl.documents import HEAD, a_bundle

SPACES = "$namespaces: {dirac: 'https://diracgrid.org/cwl#'}\n"


def found(document: str, **files: str) -> list[tuple[Any, ...]]:
    """Kind, name, file, line and column of each."""
    bundle = a_bundle(document, **files)
    return [tuple(one.values()) for one in mentions(load(bundle), base_uri(bundle))]


def test_sites_are_found_in_lists_in_texts_and_in_both_forms_of_hints() -> None:
    tail = "inputs: []\noutputs: []\n"
    assert found(f"{HEAD}{SPACES}hints:\n  dirac:Job:\n    sites: [A, B]\n    banned_sites: C\n{tail}") == [
        ("site", "A", "main.cwl", 7, 13),
        ("site", "B", "main.cwl", 7, 16),
        ("banned site", "C", "main.cwl", 8, 5),
    ]
    listed = f"{HEAD}{SPACES}hints:\n  - class: dirac:Scheduling\n    sites:\n      - A\n{tail}"
    assert found(listed) == [("site", "A", "main.cwl", 8, 9)]


def test_types_of_jobs_are_found() -> None:
    hint = "hints:\n  dirac:Job:\n    type: User\n    group: user\n"
    assert found(f"{HEAD}{SPACES}{hint}inputs: []\noutputs: []\n") == [("job type", "User", "main.cwl", 7, 5)]


def test_hints_of_steps_and_of_other_documents_are_found_once() -> None:
    tool = f"{HEAD}{SPACES}hints: {{dirac:Job: {{sites: [A]}}}}\ninputs: []\noutputs: []\n"
    step = "{run: tool.cwl, in: {}, out: [], hints: {dirac:Job: {banned_sites: [B]}}}"
    steps = f"steps:\n  one: {step}\n  two: {{run: tool.cwl, in: {{}}, out: []}}\n"
    document = f"cwlVersion: v1.2\nclass: Workflow\n{SPACES}inputs: []\noutputs: []\n{steps}"

    assert sorted(one[:3] for one in found(document, tool__cwl=tool)) == [
        ("banned site", "B", "main.cwl"),
        ("site", "A", "tool.cwl"),
    ]


def test_lfns_are_found_in_defaults_and_texts_that_look_like_one_are_not() -> None:
    file = "{class: File, location: 'lfn:/vo/x', secondaryFiles: [{class: File, location: 'LFN:/vo/y'}]}"
    inputs = f"inputs:\n  a: {{type: File, default: {file}}}\n  b: {{type: string, default: 'lfn:/vo/z'}}\n"

    assert sorted(one[:4] for one in found(f"{HEAD}{inputs}outputs: []\n")) == [
        ("lfn", "LFN:/vo/y", "main.cwl", 5),
        ("lfn", "lfn:/vo/x", "main.cwl", 5),
    ]


def test_hints_of_others_are_left_alone() -> None:
    document = f"{HEAD}$namespaces: {{x: 'http://x.org/'}}\nhints: {{x:Job: {{sites: [A]}}}}\n"
    assert found(document + "inputs: []\noutputs: []\n") == []
