"""The FastAPI application: `uvicorn --factory diracx_api.app:create_app`."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from diracx_api.metrics import Measured
from diracx_api.routes import health, jobs, pilots, sandboxes, tasks, workflows
from diracx_tasks.app import app as celery
from diracx_tasks.core import telemetry
from diracx_tasks.core.errors import DiracXError
from diracx_tasks.core.settings import settings
from diracx_tasks.workflows import isolate

log = logging.getLogger(__name__)
ROUTERS = (workflows.router, jobs.router, pilots.router, sandboxes.router, tasks.router, health.router)
FORM_BYTES = 1 << 20
RETRY = {"Retry-After": "1"}


def create_app() -> FastAPI:
    """The application with all routes."""
    telemetry.set_up_logs()
    # The documentation page comes from here, not from a public network that a site may not reach.
    made = FastAPIOffline(
        title="Dirac",
        version="0.1.0",
        description="Workflows, jobs and pilots of DiracX on Celery.",
        docs_url="/api/docs",
        openapi_url="/api/openapi.json",
        redoc_url=None,
        static_url="/api/docs-assets",
        swagger_ui_oauth2_redirect_url="/api/docs/oauth2-redirect",
        lifespan=_lifespan,
        # For files; every other route states less.
        max_body_size=settings().sandbox_bytes + FORM_BYTES,
    )
    made.add_middleware(Measured)
    made.add_exception_handler(DiracXError, _known)
    made.add_exception_handler(RequestValidationError, _malformed)
    made.add_exception_handler(DBAPIError, _database)
    made.add_exception_handler(PoolTimeout, _database)
    made.add_exception_handler(Exception, _unknown)
    for router in ROUTERS:
        made.include_router(router.api)
    made.openapi = lambda: _openapi(made)  # type: ignore[method-assign]
    return made


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # Publishing needs the application that knows routes and broker, in every thread.
    celery.set_default()
    isolate.warm_up()
    yield
    telemetry.flush()


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
    """Deadlocks, lost connections, a full pool: nothing was committed, trying again helps."""
    log.warning("%s %s: %s", request.method, request.url.path, error)
    return JSONResponse({"detail": "the database is busy or away: try again"}, 503, RETRY)


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    return JSONResponse({"detail": "Internal Server Error"}, 500)


def _openapi(made: FastAPI) -> dict[str, Any]:
    if not made.openapi_schema:
        schema = get_openapi(
            title=made.title, version=made.version, description=made.description, routes=made.routes
        )
        url = "/.well-known/openid-configuration"
        login = {"type": "openIdConnect", "openIdConnectUrl": url}
        schemes = {
            "OpenIdConnect": login,
            "Bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        }
        schema.setdefault("components", {})["securitySchemes"] = schemes
        made.openapi_schema = schema
    return made.openapi_schema
