"""What is said to who sends too much: Starlette's 413 as JSON, as all of our errors are."""

import json

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY = json.dumps({"detail": "the body is larger than this route takes"}).encode()


class TooLargeInWords:
    """ASGI application around all others: Starlette refuses a body before any middleware of ours is asked."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, but a 413 that is a plain text."""
        is_plain = False

        async def spoken(message: Message) -> None:
            nonlocal is_plain
            if message["type"] == "http.response.start" and message["status"] == 413:
                headers = MutableHeaders(scope=message)
                is_plain = headers.get("content-type", "").startswith("text/plain")
                if is_plain:
                    headers["content-type"] = "application/json"
                    headers["content-length"] = str(len(BODY))
            if is_plain and message["type"] == "http.response.body":
                message = {"type": "http.response.body", "body": BODY}
            await send(message)

        await self.app(scope, receive, spoken)
