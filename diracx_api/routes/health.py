"""Whether this server lives, is ready, has started; and what it counts."""

from typing import Any

from fastapi import Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from diracx_api import metrics
from diracx_api.deps import Router
from diracx_tasks.auth import rights
from diracx_tasks.auth.keys import signing_key
from diracx_tasks.core import config
from diracx_tasks.core.database import reading
from diracx_tasks.core.errors import Unavailable

router = Router("health", "")


@router.get("/api/health/live", right=rights.anyone)
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "live"}


@router.get("/api/health/ready", right=rights.anyone)
def ready() -> dict[str, str]:
    """There is a configuration, and the database answers."""
    config.config()
    try:
        with reading() as db:
            db.execute(select(1))
    except SQLAlchemyError as error:
        raise Unavailable("the database does not answer") from error
    return {"status": "ready"}


@router.get("/api/health/startup", right=rights.anyone)
def startup() -> dict[str, str]:
    """The server has its keys and its database."""
    signing_key()
    ready()
    return {"status": "startup complete"}


@router.get("/metrics", right=rights.anyone, response_class=PlainTextResponse)
def get_metrics() -> Any:
    """Counts for Prometheus: no names of users or VOs."""
    metrics.refresh()
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
