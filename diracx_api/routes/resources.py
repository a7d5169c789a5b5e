"""Which sites and resources may be used, for DiracX's clients (RSS)."""

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Annotated, Any

from fastapi import Header, Response

from diracx_api.deps import Me, ReadDb, Router
from diracx_api.models import resources
from diracx_tasks.auth import rights
from diracx_tasks.resources.view import View, is_unchanged, view

router = Router("rss", "/api/rss")
Tags = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        max_length=1024,
        description="The ETag of what one has.",
        examples=["2026-11-23T10:00:00-12-lhcb-9f86d081884c7d65"],
    ),
]
Since = Annotated[
    str | None,
    Header(
        alias="If-Modified-Since",
        max_length=64,
        description="When one has asked last.",
        examples=["Mon, 23 Nov 2026 10:00:00 GMT"],
    ),
]
RESPONSES: dict[int | str, dict[str, Any]] = {304: {"description": "Nothing has changed."}}


@router.get(
    "/storage",
    right=rights.authenticated,
    response_model=dict[str, resources.StorageElementStatus],
    responses=RESPONSES,
)
def get_storage_status(db: ReadDb, me: Me, tags: Tags = None, since: Since = None) -> Response:
    """Storage elements, by kind of access; those of which not all four kinds are known are left out."""
    return _answer(view("storage", me.vo, lambda: db), tags, since)


@router.get(
    "/compute",
    right=rights.authenticated,
    response_model=dict[str, resources.ComputeElementStatus],
    responses=RESPONSES,
)
def get_compute_status(db: ReadDb, me: Me, tags: Tags = None, since: Since = None) -> Response:
    """Computing elements."""
    return _answer(view("compute", me.vo, lambda: db), tags, since)


@router.get(
    "/site",
    right=rights.authenticated,
    response_model=dict[str, resources.SiteStatus],
    responses=RESPONSES,
)
def get_site_status(db: ReadDb, me: Me, tags: Tags = None, since: Since = None) -> Response:
    """Sites."""
    return _answer(view("site", me.vo, lambda: db), tags, since)


@router.get(
    "/fts",
    right=rights.authenticated,
    response_model=dict[str, resources.FTSStatus],
    responses=RESPONSES,
)
def get_fts_status(db: ReadDb, me: Me, tags: Tags = None, since: Since = None) -> Response:
    """FTS servers."""
    return _answer(view("fts", me.vo, lambda: db), tags, since)


def _answer(found: View, tags: str | None, since: str | None) -> Response:
    # Whoever adds CORS adds Origin to Vary.
    headers = {"ETag": found.tag, "Vary": "Authorization", "Cache-Control": "private, no-cache"}
    if found.modified:
        headers["Last-Modified"] = format_datetime(found.modified.replace(tzinfo=UTC), usegmt=True)
    if is_unchanged(found, tags, _moment(since)):
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers=headers, media_type="application/json")


def _moment(since: str | None) -> datetime | None:
    """The time as it is compared; None for what is no time: it is ignored then."""
    try:
        moment = parsedate_to_datetime(since or "")
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, TypeError, OverflowError):
        return None
