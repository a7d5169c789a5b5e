"""The schedule: when entries ran and are due, and what an operator may have them do."""

from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Form, Path, Query, Request, Response
from pydantic import Field

from diracx_api.deps import Db, ReadDb
from diracx_api.ui import filters, render
from diracx_api.ui.operate.subjects import task_page
from diracx_api.ui.router import Me, Pages
from diracx_tasks.auth import rights
from diracx_tasks.core.database import utc
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.engine import overview, schedules
from diracx_tasks.engine.timing import Timing

router = Pages("/operate/schedule")
EVERY = 10
Name = Annotated[str, Path(max_length=128)]
Row = dict[str, Any]
SAYS = {"On": "runs at its times", "Paused": "is paused", "DryRun": "only notes what it would enqueue"}


class Filters(filters.Filters):
    """Which entries are shown."""

    name: str = Field("", max_length=128)
    state: Literal["", "On", "Paused", "DryRun"] = ""

    def fits(self, row: Row) -> bool:
        """Whether an entry is one of them."""
        return self.name.lower() in row["name"].lower() and self.state in ("", row["state"])


@router.get("", right=rights.operate)
def list_schedule(db: ReadDb, request: Request, me: Me, asked: Annotated[Filters, Query()]) -> Response:
    """Every entry with its last run and its next time."""
    rows = overview.schedule(db)
    return render.page(
        request,
        "operate/schedule.html",
        every=EVERY,
        entries=[row for row in rows if asked.fits(row)],
        total=len(rows),
        asked=asked,
    )


@router.get("/{name}", right=rights.operate)
def show_entry(db: ReadDb, request: Request, me: Me, name: Name) -> Response:
    """One entry with its next times and what can be done with it."""
    found = schedules.find(db, name)
    return render.page(
        request,
        "operate/entry.html",
        every=EVERY,
        entry=overview.schedule_row(found),
        coming=[utc(moment) for moment in schedules.preview(found)],
        own=found.own_timing or {},
        says=SAYS,
        task_page=task_page,
    )


@router.post("/{name}/state", right=rights.operate)
def set_state(
    db: Db, request: Request, me: Me, name: Name, state: Annotated[str, Form(max_length=16)]
) -> Response:
    """Pause, resume, or only note what would be enqueued."""
    found = schedules.set_state(db, name, state)
    return render.onwards(request, _address(name), f"{name} {SAYS[found.state]}.")


@router.post("/{name}/run", right=rights.operate)
def run_now(db: Db, request: Request, me: Me, name: Name) -> Response:
    """Have its task run now; the next time stays."""
    key = schedules.run_now(db, name)
    return render.onwards(request, _address(name), f"{name} is enqueued under the key {key}.")


@router.post("/{name}/timing", right=rights.operate)
def set_timing(
    db: Db,
    request: Request,
    me: Me,
    *,
    name: Name,
    kind: Annotated[str, Form(max_length=16)],
    value: Annotated[str, Form(max_length=1024)] = "",
) -> Response:
    """Have it be due at other times than code and configuration say, or again as they say."""
    found = schedules.set_timing(db, name, _timing(kind, value.strip()))
    row = overview.schedule_row(found)
    return render.onwards(request, _address(name), f"{name} is due: {row['timing']} ({row['origin']}).")


def _timing(kind: str, value: str) -> Timing | None:
    if kind == "default":
        return None
    if kind == "every":
        try:
            return Timing(every=float(value))
        except ValueError as error:
            raise BadRequest(f"{value!r} is no number of seconds") from error
    if kind == "cron":
        return Timing(cron=value)
    if kind == "rrule":
        return Timing(rrule=value)
    raise BadRequest(f"a timing is every, cron, rrule or default, not {kind!r}")


def _address(name: str) -> str:
    return f"/ui/operate/schedule/{quote(name, safe='')}"
