"""Long arrays of a workflow: stored in chunks, or read from the outputs of a scatter's slots."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from math import prod
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from diracx_tasks.core.errors import NotFound, TooLarge
from diracx_tasks.core.packed import packed, plain, unpacked
from diracx_tasks.cwl import scatter
from diracx_tasks.cwl.arrays import CLASS, is_reference
from diracx_tasks.jobs import ends
from diracx_tasks.workflows.states import GOOD
from diracx_tasks.workflows.tables import Chunk, Collection, Node, NodeValues

# Arrays with more elements, or more bytes as JSON, are stored apart.
LONG = 1000
INLINE = 16 * 1024
CHUNK = 1000
# What one job or one expression may read.
MOST = 250_000
Values = dict[str, Any]
Reference = Mapping[str, Any]


def put_away(db: Session, workflow_id: int, values: Values) -> Values:
    """The values of a node with references in the place of long arrays, which are stored."""
    return {
        name: _stored(db, workflow_id, value) if _is_long(value) else value for name, value in values.items()
    }


def of_slots(node_id: int, name: str, dims: Sequence[int], method: str) -> Values:
    """An array of what the slots of a scatter, or the iterations of a loop, gave: nothing is copied."""
    reference: Values = {
        "class": CLASS,
        "of": f"n{node_id}.{name}",
        "length": scatter.size(method, list(dims)),
    }
    if method == scatter.NESTED and len(dims) > 1:
        reference |= {"length": dims[0], "inner": list(dims[1:])}
    return reference


def pick(db: Session, workflow_id: int, array: Any, places: Sequence[int]) -> list[Any]:
    """The elements of an array, or of what stands for one, at places; None where a slot gave nothing."""
    if not is_reference(array):
        return [array[place] for place in places]
    found: dict[int, Any] = {}
    for start, stop in _ranges(places):
        found |= dict(enumerate(read(db, workflow_id, array, start, stop), start))
    return [found[place] for place in places]


def read(db: Session, workflow_id: int, reference: Reference, start: int, stop: int) -> list[Any]:
    """Elements `start` to `stop` of an array of this workflow; NotFound when they are not stored."""
    kind, _, name = str(reference["of"]).partition(".")
    stop = min(stop, int(reference["length"]))
    if kind[:1] == "c":
        return _of_chunks(db, workflow_id, int(kind[1:]), start, stop)
    node = db.get(Node, int(kind[1:]))
    if node is None or node.workflow_id != workflow_id:
        raise NotFound(f"workflow {workflow_id} has no array {reference['of']}")
    inner = [int(length) for length in reference.get("inner", ())]
    size = prod(inner)
    values = [
        None if outputs is None else outputs.get(name)
        for outputs in slots(db, node, start * size, stop * size)
    ]
    return scatter.shaped(scatter.NESTED, [stop - start, *inner], values)


def slots(db: Session, node: Node, start: int, stop: int) -> Iterator[Values | None]:
    """The outputs of the slots of a scatter, or of a loop's iterations; None for one that gave nothing."""
    for first in range(start, stop, CHUNK):
        yield from _page_of_slots(db, node, first, min(first + CHUNK, stop))


def outputs(db: Session, nodes: Iterable[Any]) -> dict[int, Values]:
    """The outputs of nodes that have some, by their numbers; a node has `node_id`, `job_id`, `status`."""
    good = [node for node in nodes if node.status in GOOD]
    of_jobs = ends.outputs(db, [node.job_id for node in good if node.job_id])
    others = [node.node_id for node in good if node.job_id not in of_jobs]
    query = select(NodeValues.node_id, NodeValues.outputs).where(NodeValues.node_id.in_(others))
    found = {node_id: unpacked(data) for node_id, data in db.execute(query) if data} if others else {}
    return found | {node.node_id: unpacked(of_jobs[node.job_id]) for node in good if node.job_id in of_jobs}


def whole(db: Session, workflow_id: int, value: Any, most: int | None = None) -> Any:
    """A value with all its arrays as lists; TooLarge when they have more than `most` elements together."""
    most = MOST if most is None else most
    left = most

    def opened(value: Any) -> Any:
        nonlocal left
        if is_reference(value):
            left -= int(value["length"]) * prod(int(length) for length in value.get("inner", ()))
            if left < 0:
                raise TooLarge(f"arrays of more than {most} elements are not read at once")
            return opened(read(db, workflow_id, value, 0, int(value["length"])))
        if isinstance(value, Mapping):
            return {key: opened(inner) for key, inner in value.items()}
        return [opened(inner) for inner in value] if isinstance(value, list) else value

    return opened(value)


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and (len(value) > LONG or len(plain(value)) > INLINE)


def _page_of_slots(db: Session, node: Node, start: int, stop: int) -> list[Values | None]:
    query = select(Node.slot, Node.node_id, Node.job_id, Node.status).where(
        Node.workflow_id == node.workflow_id,
        Node.parent_id == node.node_id,
        Node.path == node.path,
        Node.slot >= start,
        Node.slot < stop,
    )
    rows = db.execute(query).all()
    found = outputs(db, rows)
    given = {row.slot: found.get(row.node_id) for row in rows}
    return [given.get(slot) for slot in range(start, stop)]


def _of_chunks(db: Session, workflow_id: int, collection_id: int, start: int, stop: int) -> list[Any]:
    query = (
        select(Chunk.chunk, Chunk.data)
        .join(Collection, Collection.collection_id == Chunk.collection_id)
        .where(
            Collection.workflow_id == workflow_id,
            Chunk.collection_id == collection_id,
            Chunk.chunk >= start // CHUNK,
            Chunk.chunk * CHUNK < stop,
        )
        .order_by(Chunk.chunk)
    )
    found = [element for _, data in db.execute(query) for element in unpacked(data)]
    first = start // CHUNK * CHUNK
    if len(found) < stop - first:
        raise NotFound(f"workflow {workflow_id} has no array c{collection_id} with {stop} elements")
    return found[start - first : stop - first]


def _stored(db: Session, workflow_id: int, elements: list[Any]) -> Values:
    collection = Collection(workflow_id=workflow_id, length=len(elements))
    db.add(collection)
    db.flush()
    for first in range(0, len(elements), CHUNK):
        data = packed(elements[first : first + CHUNK])
        values = {"collection_id": collection.collection_id, "chunk": first // CHUNK, "data": data}
        db.execute(insert(Chunk).values(**values))
    return {"class": CLASS, "of": f"c{collection.collection_id}", "length": len(elements)}


def _ranges(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Runs of neighbours among places, each with its end."""
    for _, run in groupby(enumerate(sorted(set(places))), lambda pair: pair[1] - pair[0]):
        members = [place for _, place in run]
        yield members[0], members[-1] + 1
