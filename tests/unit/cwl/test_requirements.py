"""Requirements that we lack, hints that we ignore, and DIRAC's hint."""

from typing import Any

import pytest

from diracx_tasks.core.errors import UnsupportedCwl
from diracx_tasks.matching.specification import specifications
from tests.unit.cwl.documents import HEAD, TOOL, WORKFLOW, a_bundle, checked, place, refusal

DIRAC = '$namespaces: {dirac: "https://diracgrid.org/cwl#"}\n'


def hinted(hint: str, tool: str = TOOL) -> str:
    """A tool with a hint of DIRAC's."""
    return f"{tool}{DIRAC}hints: {{{hint}}}\n"


def asked(document: str, **inputs: Any) -> dict[str, Any]:
    """What a root tool asks of the machine."""
    found: dict[str, Any] = checked(a_bundle(document), **inputs)["start"]["requirements"]
    return found


def test_a_workflow_whose_tool_changes_files_in_place_is_one_job() -> None:
    tool = TOOL + "requirements: {InplaceUpdateRequirement: {inplaceUpdate: %s}}\n"
    kinds = [
        checked(a_bundle(WORKFLOW, tool__cwl=tool % is_so), text="x")["start"]["kind"]
        for is_so in ("true", "false")
    ]
    assert kinds == ["tool", "workflow"]


@pytest.mark.parametrize(
    "more",
    [
        "hints: {InplaceUpdateRequirement: {inplaceUpdate: true}}",
        "requirements: {InplaceUpdateRequirement: {inplaceUpdate: false}}",
    ],
)
def test_a_wish_or_a_refusal_to_change_files_is_no_fault(more: str) -> None:
    checked(a_bundle(f"{TOOL}{more}\n"), text="x")


@pytest.mark.parametrize("name", ["MagicRequirement", "acme:Magic"])
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


@pytest.mark.parametrize(
    "field, message",
    [
        ("priority: high", "'high' is no whole number"),
        ("priority: true", "'True' is no whole number"),
        ("sites: {a: b}", "not a list of names"),
        ("tags: [1]", "not a list of names"),
        ("platform: [x]", "not a name"),
        ("sites: [a], banned_sites: [a]", "sites: banned_sites leave none of a"),
        ("tags: 'a & (b'", "tags: column 7: the end instead of &, | or the ) of the ( in column 5"),
        ("wall_time: 1.5", "wall_time: '1.5' is no whole number"),
        ("max_cores: 2, cores: 4", "max_cores: 2 is less than cores, 4"),
        ("prioriti: 3", "prioriti: there is no such field; is priority meant?"),
        ("alternatives: {cores: 2}", "alternatives: this is not a list of requirements"),
        ("system: Linux", "system: 'Linux' is no mapping"),
    ],
)
def test_a_wrong_field_of_our_hint_is_refused_where_it_stands(field: str, message: str) -> None:
    error = refusal(a_bundle(hinted(f"dirac:Job: {{{field}}}")), text="x")
    assert message in str(error)
    assert place(error) == ("main.cwl", 10, 21)


@pytest.mark.parametrize(
    "fields, message, column",
    [
        ("gpu: {ram: 3}", "gpu.ram: there is no such field; is ram_mb meant?", 27),
        ("gpu: {count: {min: 3, max: 2}}", "gpu.count: max is less than min", 27),
        ("gpu: {count: {min: x}}", "gpu.count.min: 'x' is no whole number", 35),
        ("system: {glibc: 2.30}", "system.glibc: 2.3 is a number: write the version in quotes", 30),
        ("alternatives: [{cores: 2}, {cores: 0}]", "cores: '0' is no whole number", 49),
        ("alternatives: [{priority: 2}]", "priority: there is no such field", 37),
        ("max_cores: 2, alternatives: [{cores: 4}]", "max_cores: 2 is less than cores, 4", 21),
    ],
)
def test_a_wrong_field_inside_our_hint_is_refused_where_it_stands(
    fields: str, message: str, column: int
) -> None:
    error = refusal(a_bundle(hinted(f"dirac:Job: {{{fields}}}")), text="x")
    assert message in str(error)
    assert place(error) == ("main.cwl", 10, column)


def test_every_fault_of_our_hint_is_told_at_once() -> None:
    error = refusal(a_bundle(hinted("dirac:Job: {priority: x, sites: {}, gpu: {vendr: a}}")), text="x")
    said = [one["message"] for one in error.diagnostics]
    assert len(said) == 3 and "vendr" in said[0] and "sites" in said[1] and "priority" in said[2]


def test_fields_of_upstream_that_say_nothing_of_the_node_are_no_fault() -> None:
    checked(a_bundle(hinted('dirac:Job: {schema_version: "1.0", type: User, log_level: INFO}')), text="x")


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


def test_everything_that_can_be_asked_of_a_node_is_kept() -> None:
    hint = """dirac:Job:
    cores: 2
    max_cores: 8
    ram_per_core_mb: 2000
    grid_ces: ce1
    platforms: [b, a]
    tags: cvmfs:lhcb & (os:el9 | os:el10)
    wall_time: 3600
    cpu_work: 100
    system: {name: Linux, glibc: '2.34', user_namespaces: true}
    architecture: {name: x86_64, level: {min: 2, max: 4}}
    gpu: {count: {min: 1}, vendor: nvidia, compute_capability: {min: 8.6}}
    io: {scratch_mb: 1000, lan_mbits: 10}
    alternatives: [{cores: 4, system: {name: Linux}}, {gpu: null, sites: 'b, a', system: {name: Linux}}]
"""
    found = asked(f"{TOOL}{DIRAC}hints:\n  {hint}", text="x")
    assert found == {
        "cores": 2,
        "max_cores": 8,
        "ram_mb": 256,
        "ram_per_core_mb": 2000,
        "sites": [],
        "banned_sites": [],
        "grid_ces": ["ce1"],
        "platform": None,
        "platforms": ["a", "b"],
        "tags": ["cvmfs:lhcb & (os:el9 | os:el10)"],
        "priority": 5,
        "wall_time": 3600,
        "cpu_work": 100,
        "system": {"name": "Linux", "glibc": "2.34", "user_namespaces": True},
        "architecture": {"name": "x86_64", "level": {"min": 2, "max": 4}},
        "gpu": {"count": {"min": 1}, "vendor": "nvidia", "compute_capability": {"min": "8.6"}},
        "io": {"scratch_mb": 1000, "lan_mbits": 10},
        "alternatives": [
            {"cores": 4, "system": {"name": "Linux"}},
            {"gpu": None, "sites": ["a", "b"], "system": {"name": "Linux"}},
        ],
    }
    first, second = specifications(found)
    assert {first.cores, second.cores} == {2, 4} and {first.sites, second.sites} == {(), ("a", "b")}


def test_the_list_form_of_our_hint_means_the_same() -> None:
    fields = "sites: [a], wall_time: 60, alternatives: [{cores: 2}]"
    listed = f"{TOOL}{DIRAC}hints: [{{class: dirac:Job, {fields}}}]\n"
    assert asked(listed, text="x") == asked(hinted(f"dirac:Job: {{{fields}}}"), text="x")


def test_a_priority_of_null_is_the_usual_one() -> None:
    assert asked(hinted("dirac:Job: {priority: null}"), text="x")["priority"] == 5


@pytest.mark.parametrize(("limit", "found"), [("600", 600), ("0", None), ("$(inputs.n * 60)", 240)])
def test_a_time_limit_is_asked_for_as_wall_time(limit: str, found: int | None) -> None:
    requirements = (
        f"requirements: {{InlineJavascriptRequirement: {{}}, ToolTimeLimit: {{timelimit: {limit}}}}}\n"
    )
    asked_for = asked(f"{HEAD}inputs: {{n: int}}\noutputs: {{}}\n{requirements}", n=4)
    assert asked_for.get("wall_time") == found


CUDA = (
    '$namespaces: {cwltool: "http://commonwl.org/cwltool#"}\n'
    "hints: {cwltool:CUDARequirement: {cudaVersionMin: '11.4', %s}}\n"
)
LEAST = "cudaComputeCapability: '8.0'"


@pytest.mark.parametrize(
    "fields, gpu",
    [
        (LEAST, {}),
        (
            "cudaComputeCapability: ['9.0', '10.0', '8.6']",
            {"compute_capability": {"min": "8.6", "max": "10.0"}},
        ),
        (f"{LEAST}, cudaDeviceCountMin: 2, cudaDeviceCountMax: 4", {"count": {"min": 2}}),
        (f"{LEAST}, cudaDeviceCountMin: $(inputs.n)", {"count": {"min": 4}}),
    ],
)
def test_cuda_devices_are_asked_for_as_gpus(fields: str, gpu: dict[str, Any]) -> None:
    found = asked(f"{HEAD}inputs: {{n: int}}\noutputs: {{}}\n{CUDA % fields}", n=4)
    usual = {"vendor": "nvidia", "count": {"min": 1}, "compute_capability": {"min": "8.0"}}
    assert found["gpu"] == {**usual, **gpu}
    (spec,) = specifications(found)
    assert (spec.gpu_vendor, spec.gpus) == ("nvidia", found["gpu"]["count"]["min"])


def test_a_wrong_capability_is_refused() -> None:
    document = f"{HEAD}inputs: []\noutputs: {{}}\n{CUDA % 'cudaComputeCapability: new'}"
    assert "gpu.compute_capability.min: 'new' is no version" in str(refusal(a_bundle(document)))


def test_what_our_hint_says_counts_before_the_tools_requirements() -> None:
    more = "requirements: {ResourceRequirement: {coresMin: 2, coresMax: 4, ramMin: 100}}\n"
    hint = f"{DIRAC}hints: {{dirac:Job: {{cores: 8, ram_mb: 2000}}}}\n"
    found = asked(TOOL + more + hint, text="x")
    assert (found["cores"], found["ram_mb"], "max_cores" in found) == (8, 2000, False)


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
