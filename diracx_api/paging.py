"""Pages of a search as DiracX answers them: 200, 206 with Content-Range, 416; and a cursor to go on with."""

from typing import Annotated

from fastapi import Query, Response

from diracx_api.models.search import Search, plain
from diracx_tasks.core import search

PageNumber = Annotated[int, Query(ge=1, le=10**9, description="Which page.", examples=[1])]
PerPage = Annotated[int, Query(ge=1, le=10000, description="How many rows.", examples=[100])]
Cursor = Annotated[
    str | None,
    Query(
        max_length=4096,
        description="Go on after the page whose answer has this `Next-Cursor`, however deep it is.",
        examples=["WzQyXQ=="],
    ),
]
RESPONSES = {
    200: {"description": "All rows there are."},
    206: {"description": "One page of them; Content-Range says which and of how many."},
    416: {"description": "There is no such page."},
}


def query_of(body: Search | None, page: int, per_page: int, cursor: str | None) -> search.Query:
    """The search that is asked for."""
    wanted = body or Search()
    return search.Query(
        parameters=wanted.parameters,
        conditions=plain(wanted.search),
        sort=[one.model_dump() for one in wanted.sort],
        page=page,
        per_page=per_page,
        distinct=wanted.distinct,
        cursor=cursor,
    )


def answer(found: search.Page, unit: str) -> Response:
    """The rows, `unit`s, as they come from the database."""
    headers = {"Next-Cursor": found.next_cursor} if found.next_cursor else {}
    status = 206 if found.next_cursor else 200
    if found.total is not None and len(found.rows) < found.total:
        status = 206 if found.rows else 416
        place = f"{found.first}-{found.first + len(found.rows) - 1}" if found.rows else "*"
        headers["Content-Range"] = f"{unit} {place}/{found.total}"
    elif found.first and not found.rows:
        status, headers["Content-Range"] = 416, f"{unit} */{found.total}"
    return rows(found.rows, status, headers)


def rows(texts: list[str], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON objects that are texts already, as one array."""
    return Response(f"[{','.join(texts)}]", status, headers, media_type="application/json")
