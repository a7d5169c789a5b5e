"""What the API answers when something goes wrong: `{"detail": ...}` as DiracX does."""

import json
import logging

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from diracx_tasks.core.errors import DiracXError

log = logging.getLogger(__name__)
RETRY = {"Retry-After": "1"}


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
    """FastAPI's 422, also when what was sent is no Unicode or no number (NaN)."""
    assert isinstance(error, RequestValidationError)
    plain = json.loads(json.dumps(jsonable_encoder(error.errors())), parse_constant=str)
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
