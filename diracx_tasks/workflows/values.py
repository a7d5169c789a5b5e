"""The inputs and outputs of a workflow for people who look at them: long arrays a part at a time."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.errors import NotFound, TooLarge
from diracx_tasks.core.packed import unpacked
from diracx_tasks.cwl.arrays import is_reference
from diracx_tasks.workflows import collections
from diracx_tasks.workflows.look import values_of
from diracx_tasks.workflows.tables import Node, Workflow

# Elements of arrays inside of a value that are read at once.
INNER = 1000


class Part(NamedTuple):
    """A value; of an array the elements from `start` on, and how many the whole array has."""

    value: Any
    start: int = 0
    length: int | None = None


def inputs(db: Session, workflow: Workflow) -> dict[str, Any]:
    """What the workflow was given; references stand for long arrays. Empty before it has begun."""
    root = select(Node.node_id).where(Node.workflow_id == workflow.workflow_id, Node.parent_id == 0)
    node_id = db.scalar(root.limit(1))
    return values_of(db, node_id)[0] if node_id else {}


def outputs(workflow: Workflow) -> dict[str, Any]:
    """What the workflow has given; references stand for long arrays. Empty before its end."""
    return unpacked(workflow.outputs) if workflow.outputs else {}


def named(values: Mapping[str, Any], name: str) -> Any:
    """One of the values; NotFound when there is none of this name."""
    if name not in values:
        raise NotFound(f"there is no value {name!r}: there are {', '.join(values) or 'none'}")
    return values[name]


def part(db: Session, workflow: Workflow, value: Any, start: int, limit: int) -> Part:
    """A value, or up to `limit` elements of an array from `start` on."""
    if isinstance(value, list):
        return Part(_whole(db, workflow, value[start : start + limit]), start, len(value))
    if is_reference(value):
        found = collections.read(db, workflow.workflow_id, value, start, start + limit)
        return Part(_whole(db, workflow, found), start, int(value["length"]))
    return Part(_whole(db, workflow, value))


def _whole(db: Session, workflow: Workflow, value: Any) -> Any:
    """The value with its inner arrays, unless they are too long to be shown."""
    try:
        return collections.whole(db, workflow.workflow_id, value, INNER)
    except TooLarge:
        return value
