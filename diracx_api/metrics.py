"""What the server counts for Prometheus."""

import time
from collections.abc import Awaitable, Callable

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diracx_tasks.core.database import reading
from diracx_tasks.engine import outbox
from diracx_tasks.jobs import search as jobs
from diracx_tasks.pilots import register as pilots
from diracx_tasks.workflows import search as workflows

REQUESTS = Counter("diracx_http_requests", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram(
    "diracx_http_request_seconds", "Time until the answer began, in seconds.", ["method", "route"]
)
JOBS = Gauge("diracx_jobs", "Jobs by status.", ["status"])
WORKFLOWS = Gauge("diracx_workflows", "Workflows by status.", ["status"])
PILOTS = Gauge("diracx_pilots", "Pilots by status.", ["status"])
OUTBOX = Gauge("diracx_outbox", "Tasks that must happen: pending, or dead after their last try.", ["state"])
Answer = Callable[[Message], Awaitable[None]]


def refresh() -> None:
    """Bring the gauges up to date with the database."""
    with reading() as db:
        counted = (
            (JOBS, jobs.totals(db)),
            (WORKFLOWS, workflows.totals(db)),
            (PILOTS, pilots.totals(db)),
            (OUTBOX, outbox.pending(db)),
        )
    for gauge, found in counted:
        gauge.clear()
        for label, count in found.items():
            gauge.labels(label).set(count)


class Measured:
    """ASGI middleware that counts and times requests by route."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and note how it went."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Unknown addresses share a label, or a scanner would fill the memory.
                route = getattr(scope.get("route"), "path", "unknown")
                REQUESTS.labels(scope["method"], route, message["status"]).inc()
                SECONDS.labels(scope["method"], route).observe(time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, answer)
