"""What jobs used, and how many were in which state: tables, plots, and files for spreadsheets."""

import csv
import io
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal

from fastapi import Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from diracx_api.deps import ReadDb
from diracx_api.ui import render
from diracx_api.ui.router import Me, Pages
from diracx_tasks.accounting import pictures, plot, report
from diracx_tasks.auth import rights
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import database_time, utc
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.jobs.access import sees_all

router = Pages("/usage")
# How many days back, and how that is called.
PERIODS = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 365}
DIMENSIONS = ("site", "owner", "group", "job_type", "status")
NUMBERS = ("attempts", "measured", "cpu_seconds", "wall_seconds", "core_seconds")
MEANS = ("cpu_share", "memory_mb", "disk_mb")
# Snapshots are taken every five minutes: of these the newest is shown.
RECENT = timedelta(minutes=15)
SVG = {
    **render.HEADERS,
    # A drawing is made of what users wrote: it may show itself and nothing more.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cache-Control": "private, max-age=60",
}
# What a spreadsheet would take for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
Dimension = Literal["site", "owner", "group", "job_type", "status"]


class Asked(BaseModel):
    """Which time, which jobs, and how they are grouped."""

    period: Literal["day", "week", "month", "quarter", "year"] = "week"
    since: Literal[""] | date = Field("", alias="from")
    until: Literal[""] | date = Field("", alias="to")
    by: list[Dimension] = Field(["site"], max_length=5)
    measure: Literal["core_seconds", "cpu_seconds", "wall_seconds", "attempts"] = "core_seconds"
    bucket: Literal["", "hour", "day"] = ""
    site: str = Field("", max_length=100)
    owner: str = Field("", max_length=64)
    group: str = Field("", max_length=128)
    job_type: str = Field("", max_length=32)
    status: str = Field("", max_length=32)

    @property
    def stated(self) -> dict[str, Any]:
        """As the address has it."""
        return self.model_dump(by_alias=True, exclude_defaults=True, mode="json")

    @property
    def only(self) -> dict[str, str]:
        """What jobs must be like."""
        return {name: value for name in DIMENSIONS if (value := getattr(self, name))}

    def question(self, db: Session, by: tuple[str, ...] | None = None) -> report.Question:
        """The same for the accounting; days are whole, in UTC."""
        until = _midnight(self.until) + timedelta(days=1) if self.until else None
        length = timedelta(days=PERIODS[self.period])
        since = _midnight(self.since) if self.since else (until or database_time(db)) - length
        groups = tuple(dict.fromkeys(self.by)) if by is None else by
        return report.Question(groups, since, until, self.bucket or None, self.only)


Filters = Annotated[Asked, Query()]


@router.get("", right=rights.read)
def show_usage(db: ReadDb, request: Request, me: Me, asked: Filters) -> Response:
    """Use by whatever is asked for, and the jobs that there are now."""
    trouble, rows, whole = "", list[report.Used](), list[report.Used]()
    try:
        question = asked.model_copy(update={"bucket": ""}).question(db)
        rows = report.usage(db, question, by=me)
        whole = report.usage(db, asked.model_copy(update={"bucket": ""}).question(db, ()), by=me)
    except BadRequest as error:
        trouble = str(error)
    return render.page(
        request,
        "usage.html",
        asked=asked,
        stated=asked.stated,
        rows=rows,
        whole=whole[0] if whole else None,
        trouble=trouble,
        now=_now(db, asked, me),
        dimensions=DIMENSIONS,
        measures=pictures.MEASURES,
        periods=PERIODS,
        is_mine=not sees_all(me),
    )


@router.get("/plot", right=rights.read)
def plot_usage(db: ReadDb, me: Me, asked: Filters) -> Response:
    """The same over time."""
    return _picture(lambda: pictures.of_usage(db, asked.question(db), asked.measure, by=me))


@router.get("/states", right=rights.read)
def plot_states(db: ReadDb, me: Me, asked: Filters) -> Response:
    """How many jobs were in each state over that time."""
    return _picture(lambda: pictures.of_states(db, asked.question(db, ("status",)), by=me))


@router.get("/csv", right=rights.read)
def get_csv(db: ReadDb, me: Me, asked: Filters) -> Response:
    """The table as a file; with a bucket, hour by hour or day by day."""
    question = asked.question(db)
    file = io.StringIO()
    writer = csv.writer(file)
    at = ["at"] if question.bucket else []
    writer.writerow([*at, *question.by, *NUMBERS, *MEANS])
    for row in report.usage(db, question, by=me):
        when = [utc(row.at)] if question.bucket else []
        numbers = [getattr(row, name) for name in (*NUMBERS, *MEANS)]
        writer.writerow([*when, *map(_plain, row.of.values()), *numbers])
    name = f"usage-{me.vo}-{'-'.join(question.by) or 'all'}.csv"
    headers = {**render.HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(file.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _now(db: Session, asked: Asked, me: User) -> list[report.Counted]:
    """The newest snapshot by status, the most jobs first."""
    since = database_time(db) - RECENT
    found = report.states(db, report.Question(("status",), since, None, None, asked.only), by=me)
    return [one for one in found if one.at == found[-1].at]


def _picture(draw: Callable[[], str]) -> Response:
    """A plot; or its words when there is none: nobody sees another answer to an image."""
    try:
        found = draw()
    except BadRequest as error:
        found = plot.words(str(error))
    return Response(found, media_type="image/svg+xml", headers=SVG)


def _midnight(day: date) -> datetime:
    return report.utc_of(datetime.combine(day, time()))


def _plain(value: object) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
