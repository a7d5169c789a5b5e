"""The list of workflows: filters in the address, counts of what they leave, progress of each."""

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from diracx_api.deps import ReadDb
from diracx_api.models.fields import LARGEST
from diracx_api.ui import filters, render
from diracx_api.ui.router import Me, Pages
from diracx_tasks.auth import rights
from diracx_tasks.workflows import listing
from diracx_tasks.workflows.listing import Wanted
from diracx_tasks.workflows.states import FINAL

router = Pages("/workflows")
PER_PAGE = 25
EVERY = 10.0


class Filters(filters.Filters):
    """Which workflows are shown; everything empty: all."""

    status: str = Field("", max_length=32)
    owner: str = Field("", max_length=64)
    name: str = Field("", max_length=128)
    before: int | None = Field(None, ge=0, le=LARGEST)
    after: int | None = Field(None, ge=0, le=LARGEST)


@router.get("", right=rights.read)
def list_workflows(db: ReadDb, request: Request, me: Me, asked: Annotated[Filters, Query()]) -> Response:
    """Workflows of the VO, newest first."""
    wanted = Wanted(**asked.stated)
    # One more than is shown says whether there is a further page.
    found = listing.page(db, wanted, by=me, limit=PER_PAGE + 1, before=asked.before, after=asked.after)
    is_more = len(found) > PER_PAGE
    rows = found[-PER_PAGE:] if asked.after is not None else found[:PER_PAGE]
    counts = listing.statuses(db, wanted, by=me)
    has_newer = is_more if asked.after is not None else asked.before is not None
    has_older = asked.after is not None or is_more
    return render.page(
        request,
        "workflows.html",
        every=EVERY,
        rows=rows,
        progress=listing.progress(db, rows),
        counts=sorted(counts.items(), key=lambda one: -one[1]),
        total=counts.get(asked.status, 0) if asked.status else sum(counts.values()),
        asked=asked,
        stated=asked.stated,
        newer=rows[0].workflow_id if rows and has_newer else None,
        older=rows[-1].workflow_id if rows and has_older else None,
        others=0 if rows else sum(listing.statuses(db, Wanted(), by=me).values()),
        final=FINAL,
    )
