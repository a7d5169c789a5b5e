"""What the API answers when something goes wrong: `{"detail": ...}` as DiracX does."""

import json
import logging
from itertools import islice
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from diracx_tasks.core.errors import DiracXError

log = logging.getLogger(__name__)
RETRY = {"Retry-After": "1"}
# How much of what was wrong is told: errors, items of each list, letters of each text, levels.
MOST_ERRORS = 20
MOST_ITEMS = 10
LONGEST = 200
DEEPEST = 2
SECRET = ("secret", "password", "token")


def handle(app: FastAPI) -> None:
    """Have the application answer all errors."""
    app.add_exception_handler(DiracXError, _known)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(PoolTimeout, _database)
    app.add_exception_handler(Exception, _unknown)


async def _known(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DiracXError)
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: RETRY}.get(error.http_status)
    return JSONResponse({"detail": error.detail}, error.http_status, headers)


async def _malformed(request: Request, error: Exception) -> Response:
    """FastAPI's 422, also when what was sent is no Unicode or no number (NaN), or is very much."""
    assert isinstance(error, RequestValidationError)
    told = [_brief(one) for one in error.errors()[:MOST_ERRORS]]
    plain = json.loads(json.dumps(jsonable_encoder(told)), parse_constant=str)
    return Response(json.dumps({"detail": plain}), 422, media_type="application/json")


async def _database(request: Request, error: Exception) -> JSONResponse:
    """Deadlocks, lost connections, a full pool or disk: nothing was committed, trying again helps."""
    log.warning("%s %s: %s", request.method, request.url.path, error)
    if isinstance(error, DataError):
        # Too long for its column, or a character that an older table does not know: it never will fit.
        return JSONResponse({"detail": f"the database cannot store this: {error.orig}"}, 400)
    if isinstance(error, IntegrityError):
        return JSONResponse({"detail": "somebody else changed this at the same time: try again"}, 503, RETRY)
    return JSONResponse({"detail": "the database is busy or away: try again"}, 503, RETRY)


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    return JSONResponse({"detail": "Internal Server Error"}, 500)


def _brief(value: Any, depth: int = 0) -> Any:
    """The same without what is long or deep: an answer must not be as large as what was sent."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST else f"{value[:LONGEST]}…"
    if isinstance(value, bytes):
        return value[:LONGEST]
    if isinstance(value, dict | list | tuple) and depth > DEEPEST:
        return "…"
    if isinstance(value, dict):
        some = islice(value.items(), MOST_ITEMS)
        return {_brief(name): "…" if _is_secret(name) else _brief(one, depth + 1) for name, one in some}
    if isinstance(value, list | tuple):
        return [_brief(one, depth + 1) for one in value[:MOST_ITEMS]]
    return value


def _is_secret(name: Any) -> bool:
    """Whether what has this name is not to be repeated: clients log what they are answered."""
    return isinstance(name, str) and any(word in name.lower() for word in SECRET)
