"""What a scattered step does: which slots there are, what each gets, what they make together."""

from typing import Any

import pytest

from diracx_tasks.cwl import scatter
from tests.unit.cwl.plans import plan_of, released, slots, step


@pytest.mark.parametrize(
    "method, expected",
    [
        ("dotproduct", [(1, 3), (2, 4)]),
        ("flat_crossproduct", [(1, 3), (1, 4), (2, 3), (2, 4)]),
        ("nested_crossproduct", [(1, 3), (1, 4), (2, 3), (2, 4)]),
    ],
)
def test_scatter_gives_each_slot_its_elements(method: str, expected: list[tuple[int, int]]) -> None:
    plan = plan_of(step("s", "{a: xs, b: ys}", f"scatter: [a, b], scatterMethod: {method}"))
    found = slots(plan, xs=[1, 2], ys=[3, 4])
    assert [(one["inputs"]["a"], one["inputs"]["b"]) for one in found] == expected


def test_values_and_conditions_are_evaluated_for_each_slot() -> None:
    plan = plan_of(
        step(
            "s",
            "{a: {source: xs, valueFrom: $(self * 10)}, b: x}",
            "scatter: a, when: $(inputs.a > inputs.b)",
        )
    )
    found = slots(plan, xs=[1, 2, 3], x=15)
    assert [one["kind"] for one in found] == ["skipped", "tool", "tool"]
    assert [one["inputs"]["a"] for one in found[1:]] == [20, 30]


def test_a_broken_slot_does_not_break_the_others() -> None:
    plan = plan_of(step("s", "{a: {source: xs, valueFrom: $(self.x.y)}}", "scatter: a"))
    found = slots(plan, xs=[{"x": {"y": 1}}, {}, {"x": {"y": 2}}])
    assert [one["kind"] for one in found] == ["tool", "broken", "tool"]
    assert "Cannot read properties" in found[1]["reason"]


@pytest.mark.parametrize(
    "method, dims, shape", [("dotproduct", [0, 2], []), ("flat_crossproduct", [0, 2], [])]
)
def test_an_empty_array_makes_an_empty_result(method: str, dims: list[int], shape: list[Any]) -> None:
    plan = plan_of(step("s", "{a: xs, b: ys}", f"scatter: [a, b], scatterMethod: {method}"))
    instance = released(plan, xs=[], ys=[1, 2])["ready"]["s"]
    assert instance["total"] == 0
    assert scatter.shaped(method, instance["dims"], []) == shape


@pytest.mark.parametrize(
    "xs, reason", [(5, "needs an array, not int"), (None, "needs an array, not NoneType")]
)
def test_scatter_needs_arrays(xs: Any, reason: str) -> None:
    assert reason in released(plan_of(step("s", "{a: xs}", "scatter: a")), xs=xs)["broken"]["s"]


def test_arrays_of_a_dotproduct_have_one_length() -> None:
    plan = plan_of(step("s", "{a: xs, b: ys}", "scatter: [a, b], scatterMethod: dotproduct"))
    assert "arrays of one length" in released(plan, xs=[1], ys=[1, 2])["broken"]["s"]
