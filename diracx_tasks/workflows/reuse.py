"""Results of earlier jobs for instances that would give the same (CWL v1.2, WorkReuse)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.cwl.values import locations
from diracx_tasks.sandboxes import metadata
from diracx_tasks.storage import read as storage
from diracx_tasks.storage.names import is_lfn
from diracx_tasks.workflows import collections
from diracx_tasks.workflows.decide import Instance
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Node, Workflow

Values = dict[str, Any]


def found(db: Session, workflow: Workflow, instances: Sequence[Instance]) -> list[Instance]:
    """The instances, those of tools whose result is there as `reused`: with its outputs, and `from`, a node.

    Results are taken of the same user in the same group only, and only while all their files are stored.
    """
    keys = {one.given["key"] for one in instances if one.given["kind"] == "tool" and one.given.get("key")}
    results = _results(db, workflow, keys) if keys else {}
    if not results:
        return list(instances)
    there = _there(db, workflow, results)
    return [_reused(one, there) for one in instances]


def _results(db: Session, workflow: Workflow, keys: set[str]) -> dict[str, tuple[int, Values]]:
    query = (
        select(Node.node_id, Node.job_id, Node.status, Node.reuse_key)
        .join(Workflow, Workflow.workflow_id == Node.workflow_id)
        .where(
            Node.reuse_key.in_(keys),
            Node.status == Status.DONE,
            Workflow.vo == workflow.vo,
            Workflow.owner == workflow.owner,
            Workflow.group == workflow.group,
        )
        .order_by(Node.node_id)
    )
    # The newest of several.
    rows = {row.reuse_key: row for row in db.execute(query)}
    outputs = collections.outputs(db, rows.values())
    return {key: (row.node_id, outputs[row.node_id]) for key, row in rows.items() if row.node_id in outputs}


def _there(
    db: Session, workflow: Workflow, results: dict[str, tuple[int, Values]]
) -> dict[str, tuple[int, Values]]:
    """Those results whose files are all stored; they are kept for this workflow."""
    files = {key: list(locations(outputs)) for key, (_, outputs) in results.items()}
    present = _present(db, workflow, {name for names in files.values() for name in names})
    good = {key: names for key, names in files.items() if present.issuperset(names)}
    used = [name for names in good.values() for name in names]
    metadata.assign(db, f"Workflow:{workflow.workflow_id}", used, "Output")
    return {key: results[key] for key in good}


def _present(db: Session, workflow: Workflow, names: set[str]) -> set[str]:
    """Those of some files that are stored, or came with a workflow."""
    lfns = {name for name in names if is_lfn(name)}
    stored = {name for name in names if metadata.is_stored(name)}
    found = metadata.present(db, stored) | storage.existing(db, workflow.vo, lfns)
    return found | {name for name in names if name.startswith("_:")}


def _reused(one: Instance, results: dict[str, tuple[int, Values]]) -> Instance:
    result = results.get(one.given.get("key") or "") if one.given["kind"] == "tool" else None
    if result is None:
        return one
    node_id, outputs = result
    return replace(one, given={**one.given, "kind": "reused", "outputs": outputs, "from": node_id})
