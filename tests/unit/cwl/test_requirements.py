"""Requirements that we lack, hints that we ignore, and DIRAC's hint."""

from typing import Any

import pytest

from diracx_tasks.core.errors import UnsupportedCwl
from tests.unit.cwl.documents import HEAD, TOOL, WORKFLOW, a_bundle, checked, place, refusal

DIRAC = '$namespaces: {dirac: "https://diracgrid.org/cwl#"}\n'


def hinted(hint: str, tool: str = TOOL) -> str:
    """A tool with a hint of DIRAC's."""
    return f"{tool}{DIRAC}hints: {{{hint}}}\n"


def asked(document: str, **inputs: Any) -> dict[str, Any]:
    """What a root tool asks of the machine."""
    found: dict[str, Any] = checked(a_bundle(document), **inputs)["start"]["requirements"]
    return found


def test_changing_files_in_place_is_unsupported() -> None:
    error = refusal(
        a_bundle(TOOL + "requirements: {InplaceUpdateRequirement: {inplaceUpdate: true}}\n"), text="x"
    )
    assert isinstance(error, UnsupportedCwl)
    assert place(error) == ("main.cwl", 9, 1)


def test_changing_files_in_place_in_a_step_is_unsupported() -> None:
    tool = TOOL + "requirements: {InplaceUpdateRequirement: {inplaceUpdate: true}}\n"
    error = refusal(a_bundle(WORKFLOW, tool__cwl=tool), text="x")
    assert isinstance(error, UnsupportedCwl) and place(error)[0] == "tool.cwl"


@pytest.mark.parametrize(
    "more",
    [
        "hints: {InplaceUpdateRequirement: {inplaceUpdate: true}}",
        "requirements: {InplaceUpdateRequirement: {inplaceUpdate: false}}",
    ],
)
def test_a_wish_or_a_refusal_to_change_files_is_no_fault(more: str) -> None:
    checked(a_bundle(f"{TOOL}{more}\n"), text="x")


@pytest.mark.parametrize("name", ["MagicRequirement", "acme:Magic", "cwltool:MPIRequirement"])
def test_an_unknown_requirement_is_unsupported(name: str) -> None:
    namespaces = '$namespaces: {acme: "http://acme.org/", cwltool: "http://commonwl.org/cwltool#"}\n'
    error = refusal(a_bundle(f"{TOOL}{namespaces}requirements: {{{name}: {{}}}}\n"), text="x")
    assert isinstance(error, UnsupportedCwl)
    assert place(error) == ("main.cwl", 10, 16)
    assert "there is no requirement" in str(error) and "hints" in error.diagnostics[0]["advice"]


def test_an_unknown_hint_is_ignored() -> None:
    checked(
        a_bundle(f'{TOOL}$namespaces: {{acme: "http://acme.org/"}}\nhints: {{acme:Magic: {{}}}}\n'), text="x"
    )


def test_requirements_among_the_inputs_are_unsupported() -> None:
    error = refusal(a_bundle(TOOL), text="x", **{"cwl:requirements": []})
    assert isinstance(error, UnsupportedCwl)


@pytest.mark.parametrize(
    "field, message",
    [
        ("priority: high", "'high' is not a whole number"),
        ("priority: true", "True is not a whole number"),
        ("sites: {a: b}", "not a list of names"),
        ("tags: [1]", "not a list of names"),
        ("platform: [x]", "not a name"),
    ],
)
def test_a_wrong_field_of_our_hint_is_refused_where_it_stands(field: str, message: str) -> None:
    error = refusal(a_bundle(hinted(f"dirac:Job: {{{field}}}")), text="x")
    assert message in str(error)
    assert place(error) == ("main.cwl", 10, 21)


def test_our_hint_becomes_what_the_job_asks_for() -> None:
    found = asked(hinted("dirac:Job: {priority: 7, sites: 'b, a', tags: [gpu], platform: x86_64}"), text="x")
    assert found == {
        "cores": 1,
        "ram_mb": 256,
        "sites": ["a", "b"],
        "banned_sites": [],
        "platform": "x86_64",
        "tags": ["gpu"],
        "priority": 7,
    }


@pytest.mark.parametrize(
    "fields, cores, ram",
    [
        ("coresMin: 2, ramMin: 100.5", 2, 101),
        ("coresMin: 0.5", 1, 256),
        ("coresMax: 3, ramMax: 10", 3, 10),
        ("coresMin: $(inputs.n), ramMin: $(inputs.n * 100)", 4, 400),
    ],
)
def test_resources_are_whole_and_may_be_expressions(fields: str, cores: int, ram: int) -> None:
    requirements = f"requirements: {{InlineJavascriptRequirement: {{}}, ResourceRequirement: {{{fields}}}}}\n"
    found = asked(f"{HEAD}inputs: {{n: int}}\noutputs: {{}}\n{requirements}", n=4)
    assert (found["cores"], found["ram_mb"]) == (cores, ram)


def test_version_1_0_asks_for_more_memory() -> None:
    assert asked(TOOL.replace("v1.2", "v1.0"), text="x")["ram_mb"] == 1024
