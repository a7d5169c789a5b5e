"""Plans of small workflows, and what they answer."""

from typing import Any

from diracx_tasks.cwl import scatter
from diracx_tasks.cwl.plan import Plan
from tests.unit.cwl.documents import HEAD, a_bundle, a_plan, a_workflow, an_expression

TOOL = f"{HEAD}inputs: {{a: Any, b: 'Any?'}}\noutputs: {{o: Any}}\n"
JS = "requirements: {InlineJavascriptRequirement: {}}\n"
WHERE = "sandbox:/S3/bucket/vo/group/owner/sha256:{}.file"


def plan_of(*steps: str, contents: dict[str, str] | None = None, **more: str) -> Plan:
    """The plan of a workflow with the inputs x, y (anything) and xs, ys (arrays)."""
    inputs = "{x: 'Any?', y: 'Any?', xs: 'Any[]?', ys: 'Any[]?'}"
    text = a_workflow(*steps, inputs=inputs, **more)
    return a_plan(
        a_bundle(text, t__cwl=TOOL, e__cwl=an_expression("${return {o: inputs.a};}", "{a: Any}")), contents
    )


def step(name: str, given: str, more: str = "", run: str = "t.cwl") -> str:
    """One step with the output `o`."""
    return f"{name}: {{run: {run}, in: {given}, out: [o]{', ' if more else ''}{more}}}"


def released(plan: Plan, done: dict[str, Any] | None = None, **inputs: Any) -> dict[str, Any]:
    """The steps that can start."""
    finished = {name: {"status": "success", "outputs": {"o": value}} for name, value in (done or {}).items()}
    return plan.release("", inputs, finished, list(finished))


def given_to(plan: Plan, name: str, done: dict[str, Any] | None = None, **inputs: Any) -> Any:
    """The inputs of a step that can start."""
    found = released(plan, done, **inputs)
    assert name in found["ready"], found
    return found["ready"][name]["inputs"]


def slots(plan: Plan, **inputs: Any) -> list[dict[str, Any]]:
    """All slots of the scatter step `s`, made in two parts."""
    instance = released(plan, **inputs)["ready"]["s"]
    total = instance["total"]
    keys, given = instance["keys"], instance["inputs"]
    fixed = {name: value for name, value in given.items() if name not in keys}
    found = []
    for part in (range(total // 2), range(total // 2, total)):
        places = [scatter.indices(instance["method"], instance["dims"], slot) for slot in part]
        columns = {key: [given[key][place[number]] for place in places] for number, key in enumerate(keys)}
        found += plan.expand("s", fixed, columns)["slots"]
    return found
