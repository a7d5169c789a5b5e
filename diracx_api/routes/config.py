"""The configuration, as far as it concerns the VO of who asks."""

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Annotated, Any

from fastapi import Header, Response

from diracx_api.deps import Me, Router
from diracx_tasks.auth import rights
from diracx_tasks.core.config import InForce, in_force
from diracx_tasks.core.document import as_json

router = Router("config", "/api/config")
NOTHING_STATED = "none"
KNOWN = Annotated[
    str | None,
    Header(description="The ETag of what the client has: 304 if it is in force.", examples=["24a94625d6"]),
]
SINCE = Annotated[
    str | None,
    Header(
        description="When the client got it: 304 if nothing was changed since.",
        examples=["Mon, 23 Nov 2026 10:00:00 GMT"],
    ),
]
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "The client has what is in force."}}


@router.get("/", right=rights.authenticated, responses=UNCHANGED)
def serve_config(me: Me, if_none_match: KNOWN = None, if_modified_since: SINCE = None) -> Any:
    """The whole configuration with every default filled in; of Registry and Operations your VO's."""
    found = in_force()
    etag = found.version or NOTHING_STATED
    headers = {"ETag": etag, "Vary": "Authorization", "Cache-Control": "private, no-cache"}
    if found.modified:
        headers["Last-Modified"] = format_datetime(found.modified, usegmt=True)
    # RFC 9110: who says what he has is not asked when he got it.
    is_known = etag in _tags(if_none_match) if if_none_match else _is_later(if_modified_since, found)
    if is_known:
        return Response(status_code=304, headers=headers)
    return Response(as_json(found.config, me.vo), headers=headers, media_type="application/json")


def _tags(stated: str | None) -> list[str]:
    """ETags as DiracX writes them, as RFC 9110 does, and weak ones."""
    return [part.strip().removeprefix("W/").strip('"') for part in (stated or "").split(",")]


def _is_later(stated: str | None, found: InForce) -> bool:
    """Whether somebody got his after this came into force: of another server, that was quicker."""
    if not stated or not found.modified:
        return False
    try:
        since: datetime = parsedate_to_datetime(stated)
        return (since if since.tzinfo else since.replace(tzinfo=UTC)) > found.modified
    except (ValueError, TypeError, OverflowError):
        return False
