"""Pilots: filters in the address, and one with its history, jobs, log and end."""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import quote

import orjson
from fastapi import Path, Query, Request, Response
from pydantic import Field
from sqlalchemy.orm import Session

from diracx_api.deps import Db, ReadDb
from diracx_api.ui import filters, render
from diracx_api.ui.router import Me, Pages
from diracx_tasks.auth import rights
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.errors import NotFound, Unavailable
from diracx_tasks.jobs.access import sees_all
from diracx_tasks.pilots import history, logs, search
from diracx_tasks.pilots import kill as killing
from diracx_tasks.pilots.register import ENDED

router = Pages("/pilots")
EVERY = 15
PER_PAGE = 50
# Of a longer text the page has the end.
TAIL = 20_000
FILTERS = {"status": "Status", "site": "GridSite", "ce": "DestinationSite", "queue": "Queue"}
SHOWN = [
    "PilotID",
    "PilotStamp",
    "Status",
    "StatusReason",
    "GridSite",
    "DestinationSite",
    "Queue",
    "CurrentJobID",
]
TIMES = ["SubmissionTime", "LastUpdateTime"]
Stamp = Annotated[str, Path(min_length=1, max_length=32, pattern="^[!-~]+$")]


class Filters(filters.Newest):
    """Which pilots are shown; everything empty: all."""

    columns = FILTERS
    status: str = Field("", max_length=32)
    site: str = Field("", max_length=128)
    ce: str = Field("", max_length=128)
    queue: str = Field("", max_length=128)


@router.get("", right=rights.not_a_pilot)
def list_pilots(db: ReadDb, request: Request, me: Me, asked: Annotated[Filters, Query()]) -> Response:
    """Pilots of the VO, newest first."""
    found = search.search(db, asked.query("PilotID", [*SHOWN, *TIMES], PER_PAGE), by=me)
    turn = asked.turn([orjson.loads(row) for row in found.rows], lambda one: one["PilotID"], PER_PAGE)
    # The form with the others is not renewed.
    names = ["status"] if render.is_part(request) else ["status", "site", "ce"]
    counts = {name: _counts(db, name, asked, me) for name in names}
    return render.page(
        request,
        "pilots/pilots.html",
        every=EVERY,
        turn=turn,
        total=sum(count for name, count in counts["status"] if asked.status in ("", name)),
        asked=asked,
        stated=asked.stated,
        counts=counts,
        others=0 if turn.rows else sum(count for _, count in _counts(db, "status", Filters(), me)),
    )


@router.get("/{stamp}", right=rights.not_a_pilot)
def show_pilot(db: ReadDb, request: Request, me: Me, stamp: Stamp, asked: bool = False) -> Response:
    """One pilot; who may operate also sees what it wrote. `asked`: its output is to arrive."""
    found = history.history(db, stamp, by=me)
    may = rights.operate.holds(me)
    log = _written(lambda: logs.uploaded(db, me.vo, stamp)) if may else ""
    output = _written(lambda: "\n".join(filter(None, logs.output(db, me.vo, stamp)))) if may else ""
    has_ended = found["status"] in ENDED
    return render.page(
        request,
        "pilots/pilot.html",
        every=None if has_ended and (output or not asked) else EVERY,
        pilot=found,
        sees_all=sees_all(me),
        has_ended=has_ended,
        asked=asked,
        log=log,
        output=output,
        tail=TAIL,
    )


@router.get("/{stamp}/log", right=rights.operate)
def get_log(db: ReadDb, me: Me, stamp: Stamp) -> Response:
    """The whole log that a pilot has sent, as text."""
    return Response(
        logs.uploaded(db, me.vo, stamp), media_type="text/plain; charset=utf-8", headers=render.HEADERS
    )


@router.post("/{stamp}/output", right=rights.operate)
def ask_for_output(db: Db, request: Request, me: Me, stamp: Stamp) -> Response:
    """Have a pilot's computing element asked for its output."""
    logs.ask_output(db, me.vo, stamp)
    said = "Its computing element is asked for its output: it is here in a moment."
    return render.onwards(request, f"{_address(stamp)}?asked=true", said)


@router.post("/{stamp}/kill", right=rights.operate)
def kill_pilot(db: Db, request: Request, me: Me, stamp: Stamp) -> Response:
    """End a pilot: what it holds goes to others at once."""
    (done,) = killing.kill(db, [stamp], by=me)
    return render.onwards(request, _address(stamp), f"Pilot {stamp} was {done.was}: {done.words}.")


def _address(stamp: str) -> str:
    return f"/ui/pilots/{quote(stamp, safe='')}"


def _written(read: Callable[[], str]) -> str:
    """A text, or nothing: it was not sent, or the store is away, which is no error of the page."""
    try:
        return read()
    except NotFound:
        return ""
    except Unavailable as error:
        return str(error)


def _counts(db: Session, name: str, asked: Filters, me: User) -> list[tuple[str, int]]:
    """How many pilots there are of each value that the other filters leave, the most first."""
    rows = search.summary(db, [FILTERS[name]], asked.conditions(name), by=me)
    found = [orjson.loads(row) for row in rows]
    return sorted(((row[FILTERS[name]], row["count"]) for row in found), key=lambda one: -one[1])
