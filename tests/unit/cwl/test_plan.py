"""What a workflow does next: steps, conditions, merging, values from expressions."""

import json
from typing import Any

import pytest
from cwltool.errors import WorkflowException

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl.graph import graph
from diracx_tasks.cwl.load import steps
from tests.unit.cwl.documents import a_bundle, a_plan, a_workflow, an_expression
from tests.unit.cwl.plans import TOOL, WHERE, given_to, plan_of, released, step


def test_steps_start_when_their_sources_are_there() -> None:
    plan = plan_of(step("one", "{a: x}"), step("two", "{a: one/o}"))
    assert set(released(plan, x=1)["ready"]) == {"one"}
    assert released(plan, {"one": 5}, x=1)["ready"]["two"]["inputs"] == {"a": 5}


def test_what_was_started_is_not_released_again() -> None:
    plan = plan_of(step("one", "{a: x}"), step("two", "{a: x}"))
    assert set(plan.release("", {"x": 1}, {}, ["one"])["ready"]) == {"two"}


def test_a_tool_instance_says_what_it_asks_for() -> None:
    instance = released(plan_of(step("one", "{a: x}")), x=1)["ready"]["one"]
    assert instance["kind"] == "tool" and instance["requirements"]["cores"] == 1


def test_an_expression_is_evaluated_at_once() -> None:
    instance = released(plan_of(step("one", "{a: x}", run="e.cwl")), x=[1])["ready"]["one"]
    assert (instance["kind"], instance["outputs"]) == ("expression", {"o": [1]})


@pytest.mark.parametrize(
    "given, value",
    [
        ("{a: {default: 7}}", 7),
        ("{a: {source: y, default: 7}}", 7),
        ("{a: {source: x, default: 7}}", 1),
        ("{a: {valueFrom: '$(inputs.b + 1)'}, b: x}", 2),
        ("{a: {source: x, valueFrom: '$(self + 1)'}}", 2),
        ("{a: {source: x, valueFrom: plain}}", "plain"),
        ("{a: {source: [x, xs]}}", [1, [2, 3]]),
        ("{a: {source: [x, xs], linkMerge: merge_flattened}}", [1, 2, 3]),
        ("{a: {source: [x], linkMerge: merge_nested}}", [1]),
        ("{a: {source: [y, x], pickValue: first_non_null}}", 1),
        ("{a: {source: [y, x], pickValue: the_only_non_null}}", 1),
        ("{a: {source: [y, x, y], pickValue: all_non_null}}", [1]),
    ],
)
def test_a_step_input_is_made_of_its_sources(given: str, value: Any) -> None:
    assert given_to(plan_of(step("one", given)), "one", x=1, y=None, xs=[2, 3])["a"] == value


@pytest.mark.parametrize(
    "given, reason",
    [
        ("{a: {source: [y, y], pickValue: first_non_null}}", "pickValue: all sources of 'a' are null"),
        (
            "{a: {source: [x, x], pickValue: the_only_non_null}}",
            "pickValue: several sources of 'a' have a value",
        ),
        ("{a: {valueFrom: '${throw new Error(\"boo\");}'}}", "Error: boo in ${throw"),
        ("{a: {valueFrom: '${return 0/0 + nope;}'}}", "nope is not defined"),
    ],
)
def test_a_step_that_cannot_be_made_says_why(given: str, reason: str) -> None:
    found = released(plan_of(step("bad", given), step("good", "{a: x}")), x=1, y=None)
    assert reason in found["broken"]["bad"] and "\n" not in found["broken"]["bad"]
    assert set(found["ready"]) == {"good"}


def test_a_faulty_expression_is_shown_where_it_stands() -> None:
    code = "${\\n  throw new Error('boo');\\n}"
    plan = plan_of(step("bad", f'{{a: {{valueFrom: "{code}"}}}}'))
    assert released(plan)["broken"]["bad"].startswith("main.cwl:7:41: Error: boo in ${")


def test_inputs_that_the_tool_does_not_have_are_for_expressions_only() -> None:
    plan = plan_of(step("one", "{a: {valueFrom: $(inputs.extra)}, extra: x}"))
    assert given_to(plan, "one", x=3) == {"a": 3}


@pytest.mark.parametrize("x, kind", [(True, "tool"), (False, "skipped")])
def test_a_condition_decides(x: bool, kind: str) -> None:
    instance = released(plan_of(step("one", "{a: x}", "when: $(inputs.a)")), x=x)["ready"]["one"]
    assert instance["kind"] == kind
    assert kind == "tool" or instance["outputs"] == {"o": None}


def test_a_condition_must_be_true_or_false() -> None:
    assert (
        "gave 1, not true or false"
        in released(plan_of(step("one", "{a: x}", "when: $(inputs.a)")), x=1)["broken"]["one"]
    )


def test_a_skipped_source_gives_null() -> None:
    plan = plan_of(step("one", "{a: x}"), step("two", "{b: one/o, a: x}"))
    done = {"one": {"status": "skipped", "outputs": {"o": None}}}
    assert plan.release("", {"x": 1}, done, ["one"])["ready"]["two"]["inputs"] == {"b": None, "a": 1}


def test_outputs_are_collected_merged_and_picked() -> None:
    outputs = (
        "{plain: {type: Any, outputSource: one/o},"
        " picked: {type: Any, outputSource: [two/o, one/o], pickValue: first_non_null},"
        " flat: {type: Any, outputSource: [one/o, x], linkMerge: merge_flattened}}"
    )
    plan = plan_of(step("one", "{a: x}"), step("two", "{a: x}"), outputs=outputs)
    done = {
        "one": {"status": "success", "outputs": {"o": [1]}},
        "two": {"status": "skipped", "outputs": {"o": None}},
    }
    assert plan.collect("", {"x": 2}, done) == {"plain": [1], "picked": [1], "flat": [1, 2]}


def test_what_a_failed_step_owes_is_null() -> None:
    plan = plan_of(step("one", "{a: x}"), outputs="{o: {type: Any, outputSource: one/o}}")
    assert plan.collect("", {"x": 1}, {}) == {"o": None}


def test_an_output_that_cannot_be_picked_is_an_error() -> None:
    plan = plan_of(
        step("one", "{a: x}"), outputs="{o: {type: Any, outputSource: [one/o, y], pickValue: first_non_null}}"
    )
    with pytest.raises(WorkflowException, match="All sources"):
        plan.collect("", {"x": 1, "y": None}, {"one": {"status": "success", "outputs": {"o": None}}})


def test_a_subworkflow_is_released_by_its_own_path() -> None:
    inner = a_workflow("deep: {run: t.cwl, in: {a: n}, out: [o]}", inputs="{n: {type: int, default: 4}}")
    outer = a_workflow("sub: {run: inner.cwl, in: {}, out: []}")
    plan = a_plan(a_bundle(outer, inner__cwl=inner, t__cwl=TOOL))
    instance = plan.release("", {}, {}, [])["ready"]["sub"]
    assert (instance["kind"], instance["inputs"]) == ("workflow", {"n": 4})
    assert plan.release("sub", instance["inputs"], {}, [])["ready"]["deep"]["inputs"] == {"a": 4}
    assert [node["path"] for node in graph(plan.root)["nodes"]] == ["sub", "sub/deep"]


def test_the_graph_has_steps_and_what_they_wait_for() -> None:
    plan = plan_of(
        step("one", "{a: x}"),
        step("two", "{a: one/o}", "scatter: a"),
        step("three", "{a: [one/o, two/o]}", run="e.cwl"),
    )
    found = graph(plan.root)
    assert [(node["name"], node["kind"], node["scatter"]) for node in found["nodes"]] == [
        ("one", "tool", False),
        ("two", "tool", True),
        ("three", "expression", False),
    ]
    assert found["edges"] == [
        {"from": "one", "to": "two"},
        {"from": "one", "to": "three"},
        {"from": "two", "to": "three"},
    ]


def test_an_unknown_step_is_named() -> None:
    with pytest.raises(InvalidCwl, match="there is no step 'one/none'"):
        plan_of(step("one", "{a: x}")).release("one/none", {}, {}, [])


def test_an_expression_must_give_its_outputs() -> None:
    def express(code: str, outputs: str = "{o: int}") -> Any:
        return a_plan(a_bundle(an_expression(code, outputs=outputs))).express("", {})

    assert express("${return {o: 1};}") == {"o": 1}
    assert express("${return {};}", "{o: 'int?'}") == {}
    for code, reason in (
        ("${return {};}", "gave no 'o'"),
        ("${return 5;}", "did not give an object"),
        ("${return nope;}", "nope"),
    ):
        with pytest.raises(WorkflowException, match=reason):
            express(code)


def test_stored_files_that_are_read_are_all_asked_for_at_once() -> None:
    files = [{"class": "File", "location": WHERE.format(n), "basename": "x"} for n in range(4)]
    given = "{a: {source: xs, loadContents: true, valueFrom: '$(self.map(f => f.contents).join())'}}"
    plan = plan_of(step("one", given), step("two", "{a: {source: x, loadContents: true}}"))
    inputs: dict[str, Any] = {"xs": files[:3], "x": files[3]}
    released(plan, **inputs)
    assert plan.evaluation.unread == [file["location"] for file in files]
    contents = {file["location"]: f"text {n}" for n, file in enumerate(files)}
    plan = plan_of(step("one", given), step("two", "{a: {source: x, loadContents: true}}"), contents=contents)
    found = released(plan, **inputs)["ready"]
    assert plan.evaluation.unread == []
    assert found["one"]["inputs"]["a"] == "text 0,text 1,text 2"
    assert found["two"]["inputs"]["a"]["contents"] == "text 3"


def test_files_of_the_bundle_are_read_up_to_64_kilobytes() -> None:
    main = a_workflow(
        step("one", "{a: {source: x, loadContents: true, valueFrom: $(self.contents)}}"), inputs="{x: File}"
    )
    file = {"class": "File", "location": "bundle:data.txt"}
    for length, is_ready in ((65536, True), (65537, False)):
        plan = a_plan(a_bundle(main, t__cwl=TOOL, data__txt="x" * length))
        assert ("one" in released(plan, x=file)["ready"]) is is_ready


def test_folders_of_the_bundle_are_listed_where_they_are_needed() -> None:
    main = a_workflow(
        step("one", "{a: {source: x, valueFrom: '$(self.listing.map(f => f.basename).sort())'}}"),
        inputs="{x: Directory}",
    )
    plan = a_plan(a_bundle(main, t__cwl=TOOL, **{"d/b__txt": "b", "d/a__txt": "a", "d/e/c": "c"}))
    folder = {"class": "Directory", "location": "bundle:d"}
    assert given_to(plan, "one", x=folder) == {"a": ["a.txt", "b.txt", "e"]}
    assert "listing" not in json.dumps(plan.start({"x": folder}))


def test_defaults_of_a_document_stay_as_they_are() -> None:
    default = "{class: Directory, location: d}"
    given = f"{{a: {{default: {default}, valueFrom: '$(self.listing.length)'}}}}"
    plan = a_plan(a_bundle(a_workflow(step("one", given)), t__cwl=TOOL, **{"d/x": "", "d/y": ""}))
    for _ in range(2):
        assert given_to(plan, "one") == {"a": 2}
    (parameter,) = steps(plan.root)["one"].tool["in"]
    assert "listing" not in parameter["default"]
