"""Refusing early what would only wait: more requests at a time than the server can have in hand."""

import json

from starlette.types import ASGIApp, Receive, Scope, Send

from diracx_tasks.core.settings import settings

BODY = json.dumps({"detail": "the server has too many requests in hand: try again"}).encode()
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
    (b"retry-after", b"2"),
]
# Who watches over the server must hear from it also in a crowd.
ALWAYS = ("/api/health/", "/metrics")


class Crowd:
    """ASGI middleware that answers 503 beyond DIRACX_REQUESTS_AT_ONCE."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless there are too many."""
        if scope["type"] != "http" or scope["path"].startswith(ALWAYS):
            await self.app(scope, receive, send)
            return
        if self.count >= settings().requests_at_once:
            await send({"type": "http.response.start", "status": 503, "headers": HEADERS})
            await send({"type": "http.response.body", "body": BODY})
            return
        self.count += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.count -= 1
