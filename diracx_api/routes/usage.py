"""What jobs have used, and how many were in which state: as rows, and as plots for pages."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query, Response

from diracx_api.deps import Me, ReadDb, Router
from diracx_api.models import usage as models
from diracx_tasks.accounting import pictures, report
from diracx_tasks.auth import rights
from diracx_tasks.core.database import utc

router = Router("usage", "/api/usage")
SVG = "image/svg+xml"
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The plot.", "content": {SVG: {"schema": {"type": "string"}}}}
}
# A drawing is made of what users wrote: in a browser it may show itself and nothing more.
HARMLESS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cache-Control": "private, max-age=60",
}
ONLY = ("site", "owner", "group", "job_type", "status", "workflow_id")


@router.get("", right=rights.read, response_model=list[models.Usage])
def get_usage(db: ReadDb, me: Me, asked: Annotated[models.UsageAsked, Query()]) -> Any:
    """What the VO's attempts used that ended in a period, by default within the last 7 days.

    Who may not see all jobs of the VO sees his own use.
    """
    return [{**one._asdict(), "at": utc(one.at)} for one in report.usage(db, _question(asked), by=me)]


@router.get("/plot", right=rights.read, response_class=Response, responses=PICTURE)
def plot_usage(db: ReadDb, me: Me, asked: Annotated[models.PlotAsked, Query()]) -> Response:
    """The same over time as a picture; hours for up to 16 days, days beyond."""
    found = pictures.of_usage(db, _question(asked), asked.measure.value, by=me)
    return Response(found, media_type=SVG, headers=HARMLESS)


@router.get("/states", right=rights.read, response_model=list[models.JobsInState])
def get_states(db: ReadDb, me: Me, asked: Annotated[models.StatesAsked, Query()]) -> Any:
    """How many of the VO's jobs were in each state, every 300 s, by default within the last day."""
    return [{**one._asdict(), "at": utc(one.at)} for one in report.states(db, _question(asked), by=me)]


@router.get("/states/plot", right=rights.read, response_class=Response, responses=PICTURE)
def plot_states(db: ReadDb, me: Me, asked: Annotated[models.StatesAsked, Query()]) -> Response:
    """The same as a picture; of a long time only some of the snapshots."""
    return Response(pictures.of_states(db, _question(asked), by=me), media_type=SVG, headers=HARMLESS)


def _question(asked: models.UsageAsked | models.StatesAsked) -> report.Question:
    names: Sequence[Any] = asked.by
    only = {name: value for name in ONLY if (value := getattr(asked, name, None)) is not None}
    bucket = asked.bucket if isinstance(asked, models.UsageAsked) else None
    return report.Question(
        tuple(dict.fromkeys(one.value for one in names)),
        report.utc_of(asked.since) if asked.since else None,
        report.utc_of(asked.until) if asked.until else None,
        bucket.value if bucket else None,
        only,
    )
