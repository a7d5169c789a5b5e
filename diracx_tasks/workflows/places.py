"""Where nodes are in their workflow: in which elements of which scatters."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.workflows.tables import Node

COLUMNS = (Node.node_id, Node.parent_id, Node.path, Node.slot, Node.kind)


class Place(NamedTuple):
    """A node's place, `outer[3]/inner[7]`, and its own slot; None when it is no element of anything."""

    label: str
    slot: int | None


def of_nodes(db: Session, rows: Sequence[Any]) -> dict[int, Place]:
    """The places of nodes of which COLUMNS are known, by their numbers."""
    above = {row.node_id: row for row in rows}
    wanted = {row.parent_id for row in rows}
    while wanted := {node_id for node_id in wanted if node_id and node_id not in above}:
        found = db.execute(select(*COLUMNS).where(Node.node_id.in_(wanted))).all()
        above |= {row.node_id: row for row in found}
        wanted = {row.parent_id for row in found}
    places = {}
    for row in rows:
        slots = _slots(row, above)
        places[row.node_id] = Place(_label(row.path, slots), next(iter(slots.get(row.path, ())), None))
    return places


def _slots(row: Any, above: Mapping[int, Any]) -> dict[str, list[int | None]]:
    """The elements of scatters, and iterations of loops, that a node is in, by path, the outer ones first."""
    slots: dict[str, list[int | None]] = {}
    while row is not None:
        parent = above.get(row.parent_id)
        if parent is not None and parent.kind in ("scatter", "loop"):
            slots.setdefault(row.path, []).insert(0, row.slot)
        row = parent
    return slots


def _label(path: str, slots: Mapping[str, list[int | None]]) -> str:
    parts, above = [], ""
    for name in path.split("/"):
        above = f"{above}/{name}" if above else name
        parts.append(name + "".join(f"[{slot}]" for slot in slots.get(above, ())))
    return "/".join(parts)
