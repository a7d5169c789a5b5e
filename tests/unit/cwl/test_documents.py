"""Bad documents: each is invalid, at its place, with advice."""

import pytest

from diracx_tasks.core.errors import InvalidCwl, UnsupportedCwl
from diracx_tasks.cwl import check
from diracx_tasks.cwl.bundle import Bundle
from tests.unit.cwl.documents import HEAD, TOOL, WORKFLOW, a_bundle, a_workflow, place, refusal

ONE = "one: {run: tool.cwl, in: {text: text}, out: [out]}"
TEXT_IN = "{text: string}"


def changed(old: str, new: str, text: str = WORKFLOW) -> str:
    """A document with one change."""
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    "main, line, column, message",
    [
        pytest.param("cwlVersion: v1.2\nclass: [Tool\n", 3, 1, "not YAML", id="not YAML"),
        pytest.param("class:\tTool\n", 1, 7, "not YAML", id="a tab"),
        pytest.param("hello", None, None, "this is not a CWL document", id="a text"),
        pytest.param("- a\n- b\n", 1, 3, "this is not a CWL document", id="a list"),
        pytest.param("name: x\n", None, None, "does not state its cwlVersion", id="not CWL"),
        pytest.param("class: Workflow\n", 1, 1, "does not state its cwlVersion", id="no version"),
        pytest.param(changed("Tool", "Tol", TOOL), 2, 1, "no class 'CommandLineTol'", id="no such class"),
        pytest.param(TOOL + "stdot: x\n", 9, 1, "unknown field 'stdot'", id="unknown field"),
        pytest.param(HEAD + "inputs: {}\n", 1, 1, "`outputs` is missing", id="no outputs"),
        pytest.param(HEAD + "inputs: {}\ninputs: {}\n", 5, 1, "'inputs' stands here a second", id="twice"),
        pytest.param(changed("string", "strin", TOOL), 6, 3, "there is no type 'strin'", id="no such type"),
        pytest.param(
            HEAD + "outputs: {}\ninputs:\n  x:\n    type: int\n    inputBindng: {}\n",
            8,
            5,
            "unknown field 'inputBindng'",
            id="unknown field inside",
        ),
        pytest.param(
            TOOL + "requirements: [Docker]\n", 9, 16, "a text cannot stand here", id="a text for a mapping"
        ),
        pytest.param(
            TOOL + "requirements: {ResourceRequirement: {coresMn: 1}}\n",
            9,
            38,
            "unknown field 'coresMn'",
            id="unknown field of a requirement",
        ),
    ],
)
def test_a_bad_tool_is_refused_at_its_place(main: str, line: int, column: int, message: str) -> None:
    error = refusal(a_bundle(main), text="x")
    assert place(error) == ("main.cwl", line, column)
    assert message in str(error)


@pytest.mark.parametrize(
    "main, line, column, message",
    [
        pytest.param(changed("text: text", "text: txt"), 13, 7, "there is no 'txt'", id="wrong source"),
        pytest.param(changed("one/out", "one/ot"), 8, 5, "there is no 'one/ot'", id="wrong outputSource"),
        pytest.param(
            changed("run: tool", "run: tol"), 11, 5, "'tol.cwl' is not among the files", id="no such tool"
        ),
        pytest.param(
            changed("    in:\n      text: text\n", "    in: {}\n"),
            12,
            5,
            "no value for 'text'",
            id="no step input",
        ),
        pytest.param(
            changed("text: string", "text: int"), 13, 7, "gives \"int\", but 'text' takes", id="input type"
        ),
        pytest.param(
            changed("type: File", "type: int"), 7, 5, "gives \"File\", but 'out' takes", id="output type"
        ),
        pytest.param(changed("[out]\n", "[out]\n    scatter: text\n"), 15, 5, "ScatterFeature", id="scatter"),
        pytest.param(
            changed("text: text", "text: {source: [text, text]}"), 13, 7, "an array", id="two sources"
        ),
        pytest.param(
            changed("text: text", "text: {valueFrom: x}"), 13, 7, "StepInputExpression", id="valueFrom"
        ),
    ],
)
def test_a_bad_workflow_is_refused_at_its_place(main: str, line: int, column: int, message: str) -> None:
    error = refusal(a_bundle(main, tool__cwl=TOOL), text="x")
    assert place(error) == ("main.cwl", line, column)
    assert message in str(error)


def test_several_sources_need_their_requirement() -> None:
    main = changed("text: text", "text: [text, text]")
    error = refusal(a_bundle(main, tool__cwl=changed("string", "string[]", TOOL)), text="x")
    assert "more than one source needs MultipleInputFeatureRequirement" in str(error)
    assert place(error) == ("main.cwl", 13, 7)


def test_an_output_that_the_tool_does_not_have_is_refused() -> None:
    error = refusal(
        a_bundle(a_workflow("one: {run: tool.cwl, in: {text: {default: x}}, out: [ot]}"), tool__cwl=TOOL)
    )
    assert "no output 'ot', only 'out'" in str(error)


def test_a_fault_in_another_document_is_placed_there() -> None:
    error = refusal(a_bundle(WORKFLOW, tool__cwl=TOOL + "foo: 1\n"), text="x")
    assert place(error) == ("tool.cwl", 9, 1)


def test_a_tool_without_a_version_is_named() -> None:
    error = refusal(a_bundle(WORKFLOW, tool__cwl=changed("cwlVersion: v1.2\n", "", TOOL)), text="x")
    assert place(error) == ("tool.cwl", 1, 1)
    assert "does not state its cwlVersion" in str(error)


def test_each_fault_has_one_diagnostic() -> None:
    error = refusal(a_bundle(TOOL + "foo: 1\nbar: 2\n"), text="x")
    assert [(one["line"], one["message"]) for one in error.diagnostics] == [
        (9, "unknown field 'foo'"),
        (10, "unknown field 'bar'"),
    ]


def test_scatter_over_several_inputs_needs_a_method() -> None:
    step = "one: {run: tool.cwl, in: {text: texts, n: texts}, out: [], scatter: [text, n]}"
    tool = HEAD + "inputs: {text: string, n: string}\noutputs: {}\n"
    assert "needs a scatterMethod" in str(
        refusal(a_bundle(a_workflow(step, inputs="{texts: 'string[]'}"), tool__cwl=tool))
    )


def test_a_subworkflow_needs_its_requirement() -> None:
    error = refusal(a_bundle(WORKFLOW, tool__cwl=changed("tool.cwl", "t2.cwl"), t2__cwl=TOOL), text="x")
    assert "SubworkflowFeatureRequirement" in str(error)


def test_steps_that_wait_for_each_other_are_refused() -> None:
    tool = HEAD + "inputs: {f: File}\noutputs: {out: stdout}\n"
    steps = [f"{one}: {{run: tool.cwl, in: {{f: {other}/out}}, out: [out]}}" for one, other in ("ab", "ba")]
    error = refusal(a_bundle(a_workflow(*steps), tool__cwl=tool))
    assert "wait for each other in a circle" in str(error) and error.diagnostics[0]["line"]


@pytest.mark.parametrize("tool", ["main.cwl", "tool.cwl"])
def test_a_workflow_that_contains_itself_is_refused(tool: str) -> None:
    error = refusal(a_bundle(changed("tool.cwl", tool), tool__cwl=changed("tool.cwl", "main.cwl")), text="x")
    assert "cannot contain itself" in str(error)
    assert error.diagnostics[0]["line"] == 11


@pytest.mark.parametrize("version", ["v9.9", "draft-2", "v1.4"])
def test_another_version_is_unsupported(version: str) -> None:
    error = refusal(a_bundle(changed("v1.2", version, TOOL)), text="x")
    assert isinstance(error, UnsupportedCwl)
    assert error.diagnostics[0]["line"] == 1


@pytest.mark.parametrize("version", ["v1.0", "v1.1", "v1.3.0-dev1"])
def test_documents_of_other_versions_are_taken(version: str) -> None:
    check.loaded(a_bundle(changed("v1.2", version, TOOL)))


@pytest.mark.parametrize("text", ["", "# nothing\n", "\n\n"])
def test_an_empty_document_is_refused(text: str) -> None:
    assert "empty" in str(refusal(a_bundle(text)))


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidCwl, match="not UTF-8"):
        check.loaded(Bundle.of({"main.cwl": b"\xff\xfe"}, "main.cwl"))


def test_an_alias_bomb_is_refused() -> None:
    bomb = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 10}]\n" for n in range(1, 9))
    error = refusal(a_bundle(bomb))
    assert "nodes once its aliases" in str(error) and error.diagnostics[0]["line"]


def test_deep_nesting_is_refused_in_any_document() -> None:
    deep = "x: " + "[" * 3000 + "]" * 3000
    assert "nested deeper" in str(refusal(a_bundle(deep)))
    assert place(refusal(a_bundle(WORKFLOW, tool__cwl=deep), text="x"))[0] == "tool.cwl"
    tool = changed("tool.cwl", "tool.txt")
    assert "nested deeper" in str(refusal(a_bundle(tool, tool__txt=deep), text="x"))


def test_several_processes_need_a_main_one() -> None:
    one = "{{id: {}, class: CommandLineTool, inputs: [], outputs: [], baseCommand: x}}"
    text = f"cwlVersion: v1.2\n$graph: [{one.format('a')}, {one.format('b')}]\n"
    assert "none of them is #main: #a, #b" in str(refusal(a_bundle(text)))
    assert "there is no #nope" in str(refusal(a_bundle(text, "main.cwl#nope")))
    check.loaded(a_bundle(text, "main.cwl#b"))


def test_data_may_have_the_names_of_documents() -> None:
    check.loaded(a_bundle(WORKFLOW, tool__cwl=TOOL, data__json="[" * 100, events__yml="a: [\n"))


def test_a_good_workflow_passes() -> None:
    check.loaded(a_bundle(a_workflow(ONE, inputs=TEXT_IN), tool__cwl=TOOL))


def test_a_path_is_no_longer_than_what_is_stored() -> None:
    def nested(length: int) -> Bundle:
        outer = f"""cwlVersion: v1.2
class: Workflow
requirements: {{SubworkflowFeatureRequirement: {{}}}}
inputs: {TEXT_IN}
outputs: []
steps:
  {"o" * 100}:
    run: {{class: Workflow, inputs: {TEXT_IN}, outputs: [], steps: {{{"i" * (length - 101)}: {ONE[5:]}}}}}
    in: {{text: text}}
    out: []
"""
        return a_bundle(outer, **{"tool__cwl": TOOL})

    check.loaded(nested(255))
    error = refusal(nested(256), text="x")
    assert "the path of this step has 256 characters, more than 255: ooo" in str(error)
