"""The inputs and outputs of a workflow, with previews of files; long arrays by pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query, Request, Response
from sqlalchemy.orm import Session

from diracx_api.deps import ReadDb
from diracx_api.models.fields import LARGEST, WorkflowId
from diracx_api.ui import render, stored
from diracx_api.ui.preview import JSON_BYTES, Preview, preview
from diracx_api.ui.router import Me, Pages
from diracx_api.ui.values import Item, Shown, files
from diracx_api.ui.workflow_head import Head, head
from diracx_tasks.auth import rights
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.errors import DiracXError
from diracx_tasks.workflows import values

router = Pages("/workflows/{workflow_id}")
# Elements of an array that are shown at once, and of each where several values are shown.
PER_PAGE, FIRST = 100, 10
# Files that are looked into on a page with all values.
PREVIEWS, SMALL = 6, 1_000_000
Start = Annotated[int, Query(ge=0, le=LARGEST)]
Name = Annotated[str, Query(max_length=255)]


@dataclass
class Value:
    """An input or output: its type, its item, of arrays which part; previews of its first files."""

    name: str
    type: str
    item: Item
    start: int
    length: int | None
    previews: list[tuple[Item, Preview, str]]


@router.get("/outputs", right=rights.read)
def show_outputs(
    *, db: ReadDb, request: Request, me: Me, workflow_id: WorkflowId, name: Name = "", start: Start = 0
) -> Response:
    """What the workflow has given; one value with `name`."""
    found = head(db, workflow_id, me)
    return _page(db, request, found, Side("outputs", values.outputs(found.workflow), name, start))


@router.get("/inputs", right=rights.read)
def show_inputs(
    *, db: ReadDb, request: Request, me: Me, workflow_id: WorkflowId, name: Name = "", start: Start = 0
) -> Response:
    """What the workflow was given, for those who may see its jobs; one value with `name`."""
    found = head(db, workflow_id, me)
    if not found.sees_jobs:
        return _page(db, request, found, Side("inputs", {}, "", 0))
    return _page(db, request, found, Side("inputs", values.inputs(db, found.workflow), name, start))


@dataclass(frozen=True)
class Side:
    """Inputs or outputs, and which of them are asked for."""

    side: str
    values: Mapping[str, Any]
    name: str
    start: int


def _page(db: Session, request: Request, found: Head, asked: Side) -> Response:
    side, every, name, start = asked.side, asked.values, asked.name, asked.start
    chosen = {name: values.named(every, name)} if name else every
    types = {port["name"]: port["type"] for port in found.graph.get(side, ())}
    limit = PER_PAGE if name else FIRST
    shown: list[Value] = []
    for key, value in chosen.items():
        part = values.part(db, found.workflow, value, start, limit)
        item = Shown().part(part.value, part.start)
        room = PREVIEWS if name else PREVIEWS - sum(len(one.previews) for one in shown)
        made = _previews(db, files(item)[: max(0, room)], found.me) if found.is_mine else []
        shown.append(Value(key, types.get(key, ""), item, part.start, part.length, made))
    return render.page(
        request,
        "workflow_values.html",
        every=found.every and max(found.every, 5),
        head=found,
        tab=f"/{side}",
        side=side,
        shown=shown,
        name=name,
        limit=limit,
    )


def _previews(db: Session, some: list[Item], me: User) -> list[tuple[Item, Preview, str]]:
    return [(one, _preview(db, one, me), stored.address("/picture", one.location, one.text)) for one in some]


def _preview(db: Session, item: Item, me: User) -> Preview:
    """A file's preview, or why there is none: one that is gone does not hide the others."""
    if item.size is not None and item.size > SMALL and item.location.startswith("lfn:"):
        return Preview("none", words="it is large")
    try:
        return preview(*stored.beginning(db, item.location, me, JSON_BYTES))
    except DiracXError as error:
        return Preview("none", words=str(error))
