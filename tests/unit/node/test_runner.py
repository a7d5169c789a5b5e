"""Payloads that share a process: none notices another, and nothing of one is counted as another's."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

from diracx_tasks.node.zygote import Zygote
from tests.unit.node.conftest import Payloads, sleeping
from tests.unit.node.documents import HEAD, a_bundle, a_tool
from tests.unit.node.server import wait_for

READ = "{glob: out.txt, loadContents: true, outputEval: '$(self[0].contents.trim())'}"
JS = "requirements: {InlineJavascriptRequirement: {}}"
TEXT = f"{{text: {{type: string, outputBinding: {READ}}}}}"
# Its parent is the process that runs payloads.
WHERE = "echo $PPID > out.txt;"


@pytest.fixture
def payloads(tmp_path: Path) -> Iterator[Payloads]:
    """Payloads below a warm process of their own."""
    zygote = Zygote()
    yield Payloads(zygote, tmp_path, count())
    zygote.close()


def a_place(command: str = "", **more: str) -> Any:
    """A tool that says in which process it runs, and does something; `X` is a word of its input."""
    inputs = "{x: {type: string, default: y, inputBinding: {position: 1}}}"
    return a_tool(f"{WHERE} {command}", inputs=inputs, outputs=TEXT, more=JS, **more)


def test_payloads_of_one_owner_and_bundle_share_a_process(payloads: Payloads) -> None:
    places = {payloads.run(a_place()).outputs["text"] for _ in range(5)}
    assert len(places) == 1


def test_another_owner_and_another_bundle_have_processes_of_their_own(payloads: Payloads) -> None:
    places = {payloads.run(a_place()).outputs["text"], payloads.run(a_place("true")).outputs["text"]}
    payloads.whose = "bob"
    places.add(payloads.run(a_place()).outputs["text"])
    assert len(places) == 3


@pytest.mark.parametrize(
    "before",
    [
        pytest.param('test "$1" = y || exit 3', id="a failure"),
        pytest.param('test "$1" = y || kill -9 $$', id="a signal"),
        pytest.param('test "$1" = y || sleep 2.2', id="a long one"),
        pytest.param(
            """test "$1" = y || python3 -c 'x = b"1" * (400 << 20)'""", id="one that takes much memory"
        ),
    ],
)
def test_after_what_was_not_short_and_small_the_next_has_a_process_of_its_own(
    payloads: Payloads, before: str
) -> None:
    tool = a_place(before)
    first = payloads.run(tool).outputs["text"]
    other = payloads.run(tool, x="other").folder / "result.json"
    assert other.exists()
    last = payloads.run(tool)
    assert last.outputs["text"] != first


def test_what_one_leaves_behind_is_gone_before_the_next_begins(payloads: Payloads) -> None:
    tool = a_place('test "$1" = y || setsid sleep 8671.5 > /dev/null 2>&1 &')
    first = payloads.run(tool).outputs["text"]
    payloads.run(tool, x="other")
    wait_for(lambda: sleeping(8671.5) == [])
    assert payloads.run(tool).outputs["text"] == first


def test_each_has_its_own_log_and_cpu_time(payloads: Payloads) -> None:
    burn = """test "$1" = y || python3 -c 'import time\nwhile time.process_time() < 0.4: pass'"""
    tool = a_place(f"{burn}; echo said $1 >&2")
    found = [payloads.run(tool, **given) for given in ({}, {"x": "other"}, {})]
    assert len({one.outputs["text"] for one in found}) == 1
    assert ["said other" in one.log for one in found] == [False, True, False]
    assert [one.log.count("said y") for one in found] == [1, 0, 1]
    # cwltool numbers the jobs of a process.
    assert all("[job " in one.log and "_2]" not in one.log for one in found)
    cpu = [one.exit.cpu_seconds for one in found]
    assert cpu[1] > 0.35
    assert cpu[2] < 0.3


def test_javascript_of_one_changes_nothing_for_the_next(payloads: Payloads) -> None:
    expression = "${var had = [].left || 0; Array.prototype.left = 1; return had;}"
    tool = a_bundle(
        f"{HEAD}baseCommand: 'true'\n{JS}\ninputs: []\n"
        f"outputs: {{had: {{type: int, outputBinding: {{outputEval: '{expression}'}}}}}}\n"
    )
    assert [payloads.run(tool).outputs["had"] for _ in range(3)] == [0, 0, 0]


def test_a_process_that_is_killed_while_nothing_runs_is_replaced(payloads: Payloads) -> None:
    first = int(payloads.run(a_place()).outputs["text"])
    psutil.Process(first).kill()
    wait_for(lambda: not psutil.pid_exists(first))
    assert payloads.run(a_place()).outputs["text"] != str(first)


def test_values_of_any_type_follow_each_other(payloads: Payloads) -> None:
    tool = a_bundle(
        f"{HEAD}baseCommand: 'true'\n{JS}\ninputs: {{x: Any}}\n"
        "outputs: {x: {type: Any, outputBinding: {outputEval: $(inputs.x)}}}\n"
    )
    step = (
        "cwlVersion: v1.2\nclass: Workflow\ninputs: {x: Any}\noutputs: {x: {type: Any, outputSource: s/x}}\n"
    )
    workflow = a_bundle(f"{step}steps: {{s: {{run: t.cwl, in: {{x: x}}, out: [x]}}}}\n")
    workflow = a_bundle(workflow.files["main.cwl"].decode(), t__cwl=tool.files["main.cwl"].decode())
    values: list[Any] = [{"a": 1}, [1, "moo"], "text", 3, [[2]], {"b": [1]}]
    for bundle in (tool, workflow):
        assert [payloads.run(bundle, x=value).outputs["x"] for value in values] == values
