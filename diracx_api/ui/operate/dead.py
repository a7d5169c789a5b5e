"""Tasks whose tries are used up: why, and what is to become of them."""

from typing import Annotated

from fastapi import Form, Path, Query, Request, Response
from pydantic import Field

from diracx_api.deps import Db, ReadDb
from diracx_api.models.fields import LARGEST
from diracx_api.ui import filters, render
from diracx_api.ui.operate.subjects import task_page
from diracx_api.ui.router import Me, Pages
from diracx_api.ui.words import plural
from diracx_tasks.auth import rights
from diracx_tasks.engine import dead_letters, overview

router = Pages("/operate/dead")
EVERY = 30
# Each comes with a traceback.
PER_PAGE = 25
LIST = "/ui/operate/dead"
LetterId = Annotated[int, Path(ge=1, le=LARGEST)]


class Filters(filters.Filters):
    """Which letters are shown."""

    task: str = Field("", max_length=128)
    resolved: bool = False
    before: int | None = Field(None, ge=1, le=LARGEST)


@router.get("", right=rights.operate)
def list_dead(db: ReadDb, request: Request, me: Me, asked: Annotated[Filters, Query()]) -> Response:
    """Dead letters, newest first, and how many there are of each task."""
    state = None if asked.resolved else dead_letters.DEAD
    task = asked.task or None
    found = dead_letters.page(db, state=state, task=task, before=asked.before, limit=PER_PAGE)
    totals = dead_letters.total(db)
    return render.page(
        request,
        "operate/dead.html",
        every=None if asked.before else EVERY,
        letters=[overview.letter_row(one) for one in found],
        older=found[-1].letter_id if len(found) == PER_PAGE else None,
        totals=sorted(totals.items(), key=lambda one: -one[1]),
        newest=dead_letters.newest(db),
        most=dead_letters.MOST_AT_ONCE,
        asked=asked,
        stated=asked.stated,
        task_page=task_page,
    )


@router.get("/{letter_id}", right=rights.operate)
def show_letter(db: ReadDb, request: Request, me: Me, letter_id: LetterId) -> Response:
    """One of them with its arguments and every error."""
    letter = overview.letter_row(dead_letters.find(db, letter_id))
    return render.page(request, "operate/letter.html", letter=letter, task_page=task_page)


@router.post("/{letter_id}/retry", right=rights.operate)
def retry_letter(db: Db, request: Request, me: Me, letter_id: LetterId) -> Response:
    """Have the task run again, its tries counted anew."""
    key = dead_letters.retry(db, letter_id, by=me.name)
    return render.onwards(request, LIST, f"{key} runs again.")


@router.post("/{letter_id}/drop", right=rights.operate)
def drop_letter(db: Db, request: Request, me: Me, letter_id: LetterId) -> Response:
    """Say that it needs nothing more."""
    dead_letters.drop(db, letter_id, by=me.name)
    return render.onwards(request, LIST, f"Dead letter {letter_id} is dropped.")


@router.post("/of/{task}/retry", right=rights.operate)
def retry_all(
    db: Db,
    request: Request,
    me: Me,
    task: Annotated[str, Path(max_length=128)],
    newest: Annotated[int, Form(ge=1, le=LARGEST)],
) -> Response:
    """Have all of a task run again that the page has counted, the oldest first."""
    count = dead_letters.retry_all(db, task, newest=newest, by=me.name)
    return render.onwards(request, LIST, f"{plural(count, 'dead letter')} of {task} run again.")
