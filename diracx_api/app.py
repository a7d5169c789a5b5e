"""The FastAPI application: `uvicorn --factory diracx_api.app:create_app`."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline

from diracx_api import failures, web
from diracx_api.client_version import ClientVersion
from diracx_api.crowd import Crowd
from diracx_api.document import describe
from diracx_api.metrics import Measured
from diracx_api.routes import (
    auth,
    config,
    cwl_jobs,
    data,
    health,
    job_bulk,
    job_changes,
    job_sandboxes,
    jobs,
    login,
    matching,
    notices,
    pilot_control,
    pilot_file,
    pilot_logs,
    pilot_plans,
    pilot_tokens,
    pilots,
    resources,
    sandboxes,
    sites,
    tasks,
    usage,
    well_known,
    wes,
    workflow_documents,
    workflow_live,
    workflows,
)
from diracx_api.too_large import TooLargeInWords
from diracx_api.ui import pages
from diracx_api.ui.files import Assets
from diracx_api.wes.prefix import WesPrefix
from diracx_tasks.app import app as celery
from diracx_tasks.core import telemetry
from diracx_tasks.core.settings import settings
from diracx_tasks.workflows import isolate

# An address is compared with one route after the other: those that are asked most go first.
ROUTERS = (
    pilots.router,
    pilot_tokens.router,
    pilot_plans.router,
    pilot_logs.router,
    pilot_control.router,
    # Fixed words of an address go before those that may be a number.
    job_changes.router,
    job_bulk.router,
    job_sandboxes.router,
    cwl_jobs.router,
    jobs.router,
    workflow_documents.router,
    workflows.router,
    workflow_live.router,
    wes.router,
    matching.router,
    resources.router,
    sites.router,
    pilot_file.router,
    sandboxes.router,
    data.router,
    usage.router,
    notices.router,
    tasks.router,
    health.router,
    auth.router,
    login.router,
    config.router,
    well_known.router,
    *pages.ROUTERS,
)
FORM_BYTES = 1 << 20


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
    made.add_middleware(ClientVersion)
    made.add_middleware(
        CORSMiddleware,
        allow_origins=settings().web_origins,
        allow_credentials=True,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["Content-Range", "Next-Cursor"],
    )
    made.add_middleware(Crowd)
    made.add_middleware(Measured)
    failures.handle(made)
    for router in ROUTERS:
        made.include_router(router.api)
    made.mount("/ui/static", Assets())
    web.mount(made)
    made.openapi = lambda: _openapi(made)  # type: ignore[method-assign]
    stack = made.build_middleware_stack
    made.build_middleware_stack = lambda: WesPrefix(TooLargeInWords(stack()))  # type: ignore[method-assign]
    return made


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # Publishing needs the application that knows routes and broker, in every thread.
    celery.set_default()
    isolate.warm_up()
    _spare_the_collector()
    yield
    telemetry.flush()


@lru_cache(1)
def _spare_the_collector() -> None:
    """Have the garbage collector leave alone what stays: it took a third of the time of bulk requests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _openapi(made: FastAPI) -> dict[str, Any]:
    if not made.openapi_schema:
        made.openapi_schema = describe(made)
    return made.openapi_schema
