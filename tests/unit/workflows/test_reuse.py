"""Results that are there from earlier jobs, and when they must not be taken."""

from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from diracx_tasks.sandboxes import metadata
from diracx_tasks.sandboxes.tables import Mapping, Sandbox
from diracx_tasks.workflows.collections import LONG
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.submit import DEFAULTS, Options
from tests.api.stores import installation, migrated
from tests.builders import HEX, VO
from tests.unit.workflows.lives import Values, begun, ended, nodes, outputs

__all__ = ["installation", "migrated"]
pytestmark = pytest.mark.usefixtures("installation")
FIRST = "class: CommandLineTool\nbaseCommand: 'true'\ninputs: {x: int}\noutputs: {y: int}\n"
TEXT = """cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {xs: 'int[]'}
outputs: {zs: {type: 'int[]', outputSource: two/y}}
steps:
  one: {run: first.cwl, scatter: x, in: {x: xs}, out: [y]}
  two: {run: second.cwl, scatter: x, in: {x: one/y}, out: [y]}
"""
CHAIN = """cwlVersion: v1.2
class: Workflow
inputs: {x: int}
outputs: {y: {type: int, outputSource: two/y}}
steps:
  one: {run: first.cwl, in: {x: x}, out: [y]}
  two: {run: second.cwl, in: {x: one/y}, out: [y]}
"""
FILE = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: 'true'
inputs: {x: int}
outputs: {f: File}
"""
ONE = "cwlVersion: v1.2\n" + FIRST
TWO = ONE.replace("'true'", "'false'")


class Counting:
    """What each job gives, and which there were."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def __call__(self, path: str, inputs: Values) -> Values:
        self.asked.append((path, inputs["x"]))
        return {"y": inputs["x"] + 1}


def asked(xs: list[int], options: Options = DEFAULTS, first: str = ONE, second: str = TWO) -> list[Any]:
    """Which jobs a workflow needed."""
    counting = Counting()
    workflow_id = begun(TEXT, {"xs": xs}, options, first__cwl=first, second__cwl=second)
    assert ended(workflow_id, counting) == Status.DONE
    assert outputs(workflow_id) == {"zs": [x + 2 for x in xs]}
    return sorted(counting.asked)


def test_the_same_workflow_needs_no_job_the_second_time() -> None:
    assert len(asked([1, 5])) == 4
    assert asked([1, 5]) == []


def test_only_new_elements_are_computed() -> None:
    asked([1, 5])
    assert asked([5, 9]) == [("one", 9), ("two", 10)]


def test_an_edited_tool_recomputes_what_changed() -> None:
    asked([1, 5])
    edited = TWO.replace("'false'", "[sh, -c, 'exit 0']")
    assert asked([1, 5], second=edited) == [("two", 2), ("two", 6)]
    # What it needs and how it is called do not matter.
    other = ONE.replace(
        "inputs:", "label: Add one\nrequirements: {ResourceRequirement: {coresMin: 2}}\ninputs:"
    )
    assert asked([1, 5], first=other) == []


def test_nothing_is_reused_when_the_user_or_the_tool_says_so() -> None:
    asked([1, 5])
    assert len(asked([1, 5], Options(reuse=False))) == 4
    never = ONE.replace("inputs:", "requirements: {WorkReuse: {enableReuse: false}}\ninputs:")
    assert len(asked([1, 5], first=never)) == 2
    assert asked([1, 5], first=never) == [("one", 1), ("one", 5)]


def test_whose_result_it_is_stands_at_the_node() -> None:
    asked([1])
    workflow_id = begun(TEXT, {"xs": [1]}, first__cwl=ONE, second__cwl=TWO)
    assert ended(workflow_id, Counting()) == Status.DONE
    reused = nodes(workflow_id, kind="tool")
    assert all(node.reused_from and node.job_id is None for node in reused)


def _file_of(location: str) -> Any:
    asked: list[str] = []

    def answer(path: str, inputs: Values) -> Values:
        asked.append(path)
        return {"f": {"class": "File", "location": location, "basename": "f", "size": 3}}

    return answer, asked


def test_a_result_is_taken_only_while_its_files_are_stored(db: Session) -> None:
    owner = metadata.Owner("alice", "user", VO)
    pfn = metadata.initiate(db, owner, checksum=HEX, size=3)["pfn"]
    db.commit()
    answer, asked = _file_of(metadata.location_of(pfn))
    for _ in range(2):
        assert ended(begun(FILE, {"x": 1}), answer) == Status.DONE
    assert len(asked) == 1
    db.execute(delete(Mapping))
    db.execute(delete(Sandbox))
    db.commit()
    assert ended(begun(FILE, {"x": 1}), answer) == Status.DONE
    assert len(asked) == 2


def test_long_arrays_are_reused_again_and_again() -> None:
    many, asked = "outputs: {y: 'int[]'}", []

    def answer(path: str, inputs: Values) -> Values:
        asked.append(path)
        return {"y": list(range(LONG + 1))}

    for _ in range(3):
        workflow_id = begun(ONE.replace("outputs: {y: int}", many), {"x": 1})
        assert ended(workflow_id, answer) == Status.DONE
        assert outputs(workflow_id) == {"y": list(range(LONG + 1))}
    assert len(asked) == 1


@pytest.mark.parametrize("second, jobs", [(TWO, []), (TWO.replace("'false'", "date"), [("two", 2)])])
def test_steps_follow_those_whose_results_were_there(second: str, jobs: list[Any]) -> None:
    assert ended(begun(CHAIN, {"x": 1}, first__cwl=ONE, second__cwl=TWO), Counting()) == Status.DONE
    counting = Counting()
    assert ended(begun(CHAIN, {"x": 1}, first__cwl=ONE, second__cwl=second), counting) == Status.DONE
    assert counting.asked == jobs


def test_inputs_of_any_type_do_not_spoil_later_ones() -> None:
    tool = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\ninputs: {a: Any}\noutputs: []\n"
    for value in ({"class": "File", "contents": "x", "basename": "x"}, "text", 7, 2**70):
        assert ended(begun(tool, {"a": value}), lambda path, inputs: {}) == Status.DONE


def test_inputs_with_the_names_of_places_count() -> None:
    tool = ONE.replace("{x: int}", "{x: int, path: string}")
    counting = Counting()
    for path in ("a", "b", "a"):
        assert ended(begun(tool, {"x": 1, "path": path}), counting) == Status.DONE
    assert len(counting.asked) == 2


def test_elements_of_one_scatter_do_not_share_results() -> None:
    # They may be meant to differ by chance, and which are made first is by chance as well.
    assert len(asked([7] * 25)) == 50
    assert asked([7] * 25) == []
