"""DIRAC's hints in three vocabularies and all their forms: what is in force for a process."""

from typing import Any

import pytest

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl import hints
from diracx_tasks.cwl.check import loaded
from diracx_tasks.cwl.graph import graph
from diracx_tasks.matching.specification import specifications
from tests.unit.cwl.documents import HEAD, a_bundle, place, refusal
from tests.unit.cwl.hinted import BODY, DIRAC, a_process, around

# As dirac-cwl's own examples declare it.
SCHEMA_OF_DIRAC_CWL = '$namespaces: {dirac: "../schemas/dirac-metadata.json#/$defs/"}\n'
OTHER_PREFIX = '$namespaces: {d: "https://diracgrid.org/cwl#"}\n'


def asked(process: Any) -> dict[str, Any]:
    return hints.requirements(process, {}, None)


@pytest.mark.parametrize(
    ("namespaces", "name"),
    [
        ("", "dirac:Job"),
        (DIRAC, "dirac:Job"),
        (SCHEMA_OF_DIRAC_CWL, "dirac:Job"),
        (OTHER_PREFIX, "d:Job"),
        ("", '"https://diracgrid.org/cwl#Job"'),
    ],
)
@pytest.mark.parametrize("form", ["{%s: {%s}}", "[{class: %s, %s}]"])
def test_the_hint_is_known_in_every_form_and_by_every_name(namespaces: str, name: str, form: str) -> None:
    fields = "type: User, priority: 7, output_data: [{source: result, output_path: /lhcb/a}]"
    process = a_process(form % (name, fields), namespaces=namespaces)
    assert asked(process)["priority"] == 7
    assert hints.is_one_job(process)
    assert hints.job_facts(process) == {
        "type": "User",
        "output_data": [{"source": "result", "output_path": "/lhcb/a", "output_se": []}],
    }


def test_issue_858_is_understood_as_it_is_written() -> None:
    process = a_process(
        """[{class: dirac:Job, schema_version: "1.0", priority: 5, cpu_work: 864000, platform: x86_64-el9,
    sites: [LCG.CERN.cern, LCG.IN2P3.fr], banned_sites: [LCG.RAL.uk], tags: [GPU], type: User,
    group: lhcb_analysis, log_level: INFO, input_sandbox: [{source: script, path: "conf/"}],
    input_data: [{source: data}], output_sandbox: [{source: log}], output_data: [{source: result,
    output_path: "/lhcb/user/r/roneil/output/", output_se: [SE-USER, SE-AUXILIARY]}]}]"""
    )
    record = asked(process)
    assert {name: record[name] for name in ("cpu_work", "platform", "sites", "banned_sites", "tags")} == {
        "cpu_work": 864000,
        "platform": "x86_64-el9",
        "sites": ["LCG.CERN.cern", "LCG.IN2P3.fr"],
        "banned_sites": ["LCG.RAL.uk"],
        "tags": ["GPU"],
    }
    assert specifications(record)
    assert hints.job_facts(process) == {
        "type": "User",
        "group": "lhcb_analysis",
        "log_level": "INFO",
        "input_sandbox": [{"source": "script", "path": "conf"}],
        "input_data": [{"source": "data"}],
        "output_sandbox": ["log"],
        "output_data": [
            {
                "source": "result",
                "output_path": "/lhcb/user/r/roneil/output",
                "output_se": ["SE-AUXILIARY", "SE-USER"],
            }
        ],
    }


def test_the_draft_dirac_1_0_is_understood_as_it_is_written() -> None:
    process = a_process(
        "{dirac:Job: {output_sandbox: ['*.log', 'prmon*'], requirements_template: {priority: 2, cores: 4, "
        "output_se: CERN-USER}, cores: 2, output_data: [{source: result, output_path: 'lfn:/lhcb/a'}]}}"
    )
    assert (asked(process)["priority"], asked(process)["cores"]) == (2, 2)
    facts = hints.job_facts(process)
    assert facts["output_globs"] == ["*.log", "prmon*"]
    assert facts["output_data"] == [
        {"source": "result", "output_path": "/lhcb/a", "output_se": ["CERN-USER"]}
    ]


def test_the_hints_of_dirac_cwl_are_understood_as_they_are_written() -> None:
    process = a_process(
        "[{class: dirac:Scheduling, platform: x86_64, priority: 10, sites: 'b, a'}, "
        "{class: dirac:ExecutionHooks, hook_plugin: QueryBasedPlugin, "
        "configuration: {campaign: PROD5, site: LaPalma}, output_paths: {result: 'lfn:/ctao/user'}, "
        "output_sandbox: [log], output_se: [SE-USER]}]"
    )
    record = asked(process)
    assert (record["platform"], record["priority"], record["sites"]) == ("x86_64", 10, ["a", "b"])
    assert not hints.is_one_job(process)
    assert hints.job_facts(process) == {
        "output_sandbox": ["log"],
        "output_data": [{"source": "result", "output_path": "/ctao/user", "output_se": ["SE-USER"]}],
    }


def test_what_dirac_job_says_counts_before_the_older_hints() -> None:
    process = a_process(
        "{dirac:Scheduling: {priority: 1, platform: p}, dirac:Job: {priority: 9, output_data: [{source: "
        "result, output_path: /new}]}, dirac:ExecutionHooks: {output_paths: {result: /old, log: /logs}}}"
    )
    assert (asked(process)["priority"], asked(process)["platform"]) == (9, "p")
    paths = {one["source"]: one["output_path"] for one in hints.job_facts(process)["output_data"]}
    assert paths == {"result": "/new", "log": "/logs"}


def test_the_hint_nearest_to_a_process_counts_as_a_whole() -> None:
    outer, inner = "{dirac:Scheduling: {sites: a, priority: 1}}", "{dirac:Scheduling: {priority: 9}}"
    assert asked(around(outer, path="one"))["sites"] == ["a"]
    for found in (around(outer, step=inner, path="one"), around(outer, tool=inner, path="one")):
        assert (asked(found)["sites"], asked(found)["priority"]) == ([], 9)


def test_a_workflow_names_its_own_outputs_not_those_of_its_steps() -> None:
    hint = "{dirac:ExecutionHooks: {output_sandbox: [result]}}"
    assert hints.job_facts(around(hint))["output_sandbox"] == ["result"]
    with pytest.raises(InvalidCwl, match="output_sandbox: there is no output 'log'"):
        around(hint.replace("result", "log"))
    inner = around(step=hint.replace("result", "log"), path="one")
    assert hints.job_facts(inner)["output_sandbox"] == ["log"]


def test_a_step_with_the_hint_is_fused_into_one_job() -> None:
    step = (
        "one: {run: inner.cwl, in: {script: script, data: data, n: n}, out: [result], hints: {dirac:Job: {}}}"
    )
    outer = f"""cwlVersion: v1.2
class: Workflow
requirements: {{SubworkflowFeatureRequirement: {{}}}}
inputs: {{script: File, data: 'File[]', n: int}}
outputs: {{}}
steps:
  {step}
"""
    inner = """cwlVersion: v1.2
class: Workflow
inputs: {script: File, data: 'File[]', n: int}
outputs: {result: {type: File, outputSource: one/result}}
steps: {one: {run: tool.cwl, in: {script: script, data: data, n: n}, out: [result]}}
"""
    fused = graph(loaded(a_bundle(outer, inner__cwl=inner, tool__cwl=BODY)))
    assert [(node["path"], node["kind"]) for node in fused["nodes"]] == [("one", "tool")]
    apart = graph(
        loaded(a_bundle(outer.replace(", hints: {dirac:Job: {}}", ""), inner__cwl=inner, tool__cwl=BODY))
    )
    assert [node["path"] for node in apart["nodes"]] == ["one", "one/one"]


def test_what_is_in_force_is_shown_with_defaults_and_expressions() -> None:
    process = loaded(
        a_bundle(
            f"{HEAD}inputs: {{n: int}}\noutputs: []\nrequirements: {{InlineJavascriptRequirement: {{}}, "
            "ResourceRequirement: {coresMin: $(inputs.n), ramMin: 100, tmpdirMin: $(inputs.n), outdirMin: 5}"
            ", DockerRequirement: {dockerPull: debian}}\nhints: {dirac:Job: {retries: 2, sites: [a]}}\n"
        )
    )
    assert hints.effective(process) == {
        "type": "User",
        "cores": "$(inputs.n)",
        "ram_mb": 100,
        "io": {"scratch_mb": "$(inputs.n) + 5"},
        "sites": ["a"],
        "tags": ["container"],
        "priority": 5,
        "retries": 2,
    }


def test_a_misspelt_hint_of_dirac_is_refused_where_it_stands() -> None:
    error = refusal(a_bundle(f"{BODY}{DIRAC}hints:\n  dirac:Jobb: {{}}\n"))
    assert "there is no hint dirac:Jobb; is dirac:Job meant?" in str(error)
    assert place(error) == ("main.cwl", 12, 3)


def test_a_hint_that_stands_twice_is_refused() -> None:
    error = refusal(a_bundle(f"{BODY}hints:\n- {{class: dirac:Job}}\n- {{class: dirac:Job}}\n"))
    assert "dirac:Job stands here twice" in str(error)


def test_a_wrong_hint_of_a_workflow_is_told_once_not_for_each_step() -> None:
    document = """cwlVersion: v1.2
class: Workflow
inputs: []
outputs: []
hints: {dirac:Scheduling: {prioriti: 1}}
steps:
  one: {run: tool.cwl, in: [], out: []}
  two: {run: tool.cwl, in: [], out: []}
"""
    error = refusal(a_bundle(document, tool__cwl=f"{HEAD}inputs: []\noutputs: []\n"))
    assert place(error) == ("main.cwl", 5, 28) and "is priority meant?" in str(error)


@pytest.mark.parametrize(
    ("hint", "message", "column"),
    [
        ("dirac:Scheduling: {cores: 2}", "cores: there is no such field", 28),
        ("dirac:Scheduling: {priority: high}", "'high' is no whole number", 28),
        ("dirac:Job: {schema_version: '2.0'}", "schema_version: '2.0' is none of 1.0", 21),
        ("dirac:Job: {schema_version: 1.0}", "schema_version: '1.0' is no text: write it in quotes", 21),
        ("dirac:Job: {log_level: LOUD}", "log_level: 'LOUD' is none of TRACE, DEBUG", 21),
        ("dirac:Job: {retries: -1}", "retries: '-1' is no whole number between 0 and 10", 21),
        ("dirac:Job: {retries: 11}", "retries: '11' is no whole number between 0 and 10", 21),
        ("dirac:Job: {type: [User]}", "type: \"['User']\" is no text", 21),
        (f"dirac:Job: {{group: {'g' * 33}}}", "group: 33 characters, 32 are the most", 21),
        ("dirac:Job: {hooks: {}}", "hooks: there is no such field", 21),
        ("dirac:Job: {requirements_template: 3}", "requirements_template: this is no mapping", 21),
        ("dirac:Job: {requirements_template: {priority: x}}", "priority: 'x' is no whole number", 45),
        (
            "dirac:Job: {requirements_template: {kores: 2}}",
            "requirements_template.kores: there is no such",
            45,
        ),
        (
            "dirac:ExecutionHooks: {configuration: {query: x}}",
            "configuration.query: there is no such field",
            48,
        ),
        ("dirac:ExecutionHooks: {configuration: {site: [x]}}", "configuration.site: ", 48),
    ],
)
def test_a_wrong_field_is_refused_where_it_stands(hint: str, message: str, column: int) -> None:
    error = refusal(a_bundle(f"{BODY}hints: {{{hint}}}\n"))
    assert message in str(error)
    assert place(error) == ("main.cwl", 10, column)
