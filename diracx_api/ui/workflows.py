"""The list of workflows: filters in the address, counts of what they leave, progress of each."""

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from diracx_api.deps import ReadDb
from diracx_api.ui import filters, render
from diracx_api.ui.router import Me, Pages
from diracx_tasks.auth import rights
from diracx_tasks.workflows import listing
from diracx_tasks.workflows.listing import Wanted
from diracx_tasks.workflows.states import FINAL

router = Pages("/workflows")
PER_PAGE = 25
EVERY = 10.0


class Filters(filters.Newest):
    """Which workflows are shown; everything empty: all."""

    status: str = Field("", max_length=32)
    owner: str = Field("", max_length=64)
    name: str = Field("", max_length=128)


@router.get("", right=rights.read)
def list_workflows(db: ReadDb, request: Request, me: Me, asked: Annotated[Filters, Query()]) -> Response:
    """Workflows of the VO, newest first."""
    wanted = Wanted(**asked.stated)
    # One more than is shown says whether there is a further page.
    found = listing.page(db, wanted, by=me, limit=PER_PAGE + 1, before=asked.before, after=asked.after)
    turn = asked.turn(found, lambda row: row.workflow_id, PER_PAGE)
    counts = listing.statuses(db, wanted, by=me)
    return render.page(
        request,
        "workflows.html",
        every=EVERY,
        rows=turn.rows,
        progress=listing.progress(db, turn.rows),
        counts=sorted(counts.items(), key=lambda one: -one[1]),
        total=counts.get(asked.status, 0) if asked.status else sum(counts.values()),
        asked=asked,
        stated=asked.stated,
        turn=turn,
        others=0 if turn.rows else sum(listing.statuses(db, Wanted(), by=me).values()),
        final=FINAL,
    )
