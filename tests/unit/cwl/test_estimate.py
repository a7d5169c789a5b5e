"""How many jobs a workflow will make, told before it runs."""

from typing import Any

from diracx_tasks.cwl.estimate import estimate
from diracx_tasks.cwl.load import load
from tests.unit.cwl.documents import HEAD, a_bundle, a_workflow, an_expression

INPUTS = "{n: int?, xs: 'int[]?', ys: 'int[]?', xss: Any?}"
CORES = "requirements: {ResourceRequirement: {coresMin: 4}}\n"
TOOL = f"{HEAD}{CORES}inputs: {{a: Any?, b: Any?}}\noutputs: {{o: Any}}\n"


def told(*steps: str, **inputs: Any) -> tuple[int, float, bool]:
    """Jobs, cores, and whether that is all."""
    text = a_workflow(*steps, inputs=INPUTS)
    outputs = "{o: {type: Any, outputSource: in/o}}"
    inner = a_workflow(step("in", "{a: x}", "scatter: a"), inputs="{x: Any?}", outputs=outputs)
    bundle = a_bundle(text, t__cwl=TOOL, i__cwl=inner, e__cwl=an_expression("${return {o: 1};}", "{a: Any?}"))
    found = estimate(load(bundle), inputs)
    return found["jobs"], found["cores"], found["is_exact"]


def step(name: str, given: str, more: str = "", run: str = "t.cwl") -> str:
    """One step with the output `o`."""
    return f"{name}: {{run: {run}, in: {given}, out: [o]{', ' if more else ''}{more}}}"


CROSS = "scatter: [a, b], scatterMethod: flat_crossproduct"


def test_scatters_over_inputs_are_counted() -> None:
    assert told(step("s", "{a: xs}", "scatter: a"), step("one", "{a: n}"), xs=[1, 2, 3]) == (4, 16, True)
    both = "{a: xs, b: ys}"
    assert told(step("s", both, CROSS), xs=[1, 2, 3], ys=[1, 2]) == (6, 24, True)
    assert told(step("s", "{a: xs}", "scatter: a"), xs=[]) == (0, 0, True)
    assert told(step("s", "{a: {source: xs, default: [1, 2]}}", "scatter: a")) == (2, 8, True)


def test_what_is_only_known_later_counts_once_and_says_so() -> None:
    first = step("s", "{a: xs}", "scatter: a")
    assert told(first, step("t", "{a: s/o}", "scatter: a"), xs=[1, 2, 3]) == (4, 16, False)
    assert told(step("s", "{a: n}", "when: $(inputs.a)"), n=1) == (1, 4, False)


def test_workflows_inside_multiply() -> None:
    inner = step("s", "{x: xss}", "scatter: x", run="i.cwl")
    assert told(inner, xss=[[1], [1, 2]]) == (2, 8, False)
    whole = step("s", "{x: xs}", run="i.cwl")
    assert told(whole, xs=[1, 2, 3]) == (3, 12, True)
    changed = step("s", "{x: {source: xs, valueFrom: $(self)}}", run="i.cwl")
    assert told(changed, xs=[1, 2, 3]) == (1, 4, False)


def test_expressions_are_no_jobs() -> None:
    assert told(step("s", "{a: n}", run="e.cwl"), n=1) == (0, 0, True)
