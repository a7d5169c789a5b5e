"""Results of earlier jobs for instances that would give the same (CWL v1.2, WorkReuse)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diracx_tasks.core.errors import NotFound, TooLarge
from diracx_tasks.sandboxes import metadata
from diracx_tasks.storage import read as storage
from diracx_tasks.storage.entries import Content
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
    # The newest of several; not of this workflow, whose instances may be meant to differ by chance.
    newest = (
        select(func.max(Node.node_id))
        .join(Workflow, Workflow.workflow_id == Node.workflow_id)
        .where(
            Node.reuse_key.in_(keys),
            Node.status == Status.DONE,
            Node.workflow_id != workflow.workflow_id,
            Workflow.vo == workflow.vo,
            Workflow.owner == workflow.owner,
            Workflow.group == workflow.group,
        )
        .group_by(Node.reuse_key)
    )
    ids = list(db.scalars(newest))
    columns = (Node.node_id, Node.workflow_id, Node.job_id, Node.status, Node.reuse_key)
    rows = db.execute(select(*columns).where(Node.node_id.in_(ids))).all()
    outputs = collections.outputs(db, rows)
    found = {}
    for row in rows:
        # A result that was itself reused names long arrays of its own workflow: they become values again.
        with suppress(NotFound, TooLarge):
            if row.node_id in outputs:
                values = collections.whole(db, row.workflow_id, outputs[row.node_id])
                found[row.reuse_key] = (row.node_id, values)
    return found


def _there(
    db: Session, workflow: Workflow, results: dict[str, tuple[int, Values]]
) -> dict[str, tuple[int, Values]]:
    """Those results whose files are all stored; they are kept for this workflow."""
    files = {key: list(_files(outputs)) for key, (_, outputs) in results.items()}
    is_there = _there_is(db, workflow.vo, [file for some in files.values() for file in some])
    good = {key: some for key, some in files.items() if all(map(is_there, some))}
    used = [file["location"] for some in good.values() for file in some]
    metadata.assign(db, f"Workflow:{workflow.workflow_id}", used, "Output")
    return {key: results[key] for key in good}


def _there_is(db: Session, vo: str, files: Sequence[Values]) -> Callable[[Values], bool]:
    """Says of a File whether it is stored, an LFN with the same content."""
    names = {str(file["location"]) for file in files}
    stored = metadata.present(db, {name for name in names if metadata.is_stored(name)})
    entries = storage.resolve(db, vo, {name for name in names if is_lfn(name)})

    def is_there(file: Values) -> bool:
        entry = entries.get(file["location"])
        if entry is None:
            return file["location"] in stored
        sha1 = str(file.get("checksum", "")).partition("sha1$")[2]
        size = int(file.get("size", entry.content.size))
        return not entry.content.is_other(Content(size, sha1=sha1 or None))

    return is_there


def _files(value: Any) -> Iterator[Values]:
    """Every File with a location in a value, in any depth."""
    if isinstance(value, dict):
        if value.get("class") == "File" and not str(value.get("location", "_:")).startswith("_:"):
            yield value
        for inner in value.values():
            yield from _files(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _files(inner)


def _reused(one: Instance, results: dict[str, tuple[int, Values]]) -> Instance:
    result = results.get(one.given.get("key") or "") if one.given["kind"] == "tool" else None
    if result is None:
        return one
    node_id, outputs = result
    return replace(one, given={**one.given, "kind": "reused", "outputs": outputs, "from": node_id})
