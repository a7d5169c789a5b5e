"""What is particular to all below the Workflow Execution Service's prefix: errors, and Basic credentials.

The specification (GA4GH WES 1.1, ErrorResponse) wants `{"msg", "status_code"}`. Its reference client sends no
header of its own when it submits, but the name and password of an address or of .netrc, as all clients of
`requests` do: a token is taken as the password there.
"""

import base64
import binascii
import json

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diracx_tasks.core.errors import ApiError

PREFIX = "/ga4gh/wes/v1"


class WesPrefix:
    """ASGI application around all others; it leaves alone what is not below the prefix."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its token as a bearer's, and the answer with its error in WES's words."""
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            scope = {**scope, "headers": [_bearer(*header) for header in scope["headers"]]}
            await self.app(scope, receive, _Spoken(send))
        else:
            await self.app(scope, receive, send)


class _Spoken:
    """Sends on what is no error at once, and an error when it is whole."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.start: Message | None = None
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self.start = message
        elif self.start is None:
            await self.send(message)
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish(self.start)

    async def _finish(self, start: Message) -> None:
        body = json.dumps(error(start["status"], self.body)).encode()
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["content-type"], headers["content-length"] = "application/json", str(len(body))
        await self.send({**start, "headers": headers.raw})
        await self.send({"type": "http.response.body", "body": body})


def error(status: int, body: bytes) -> dict[str, object]:
    """WES's error for one of ours; `diagnostics` beside it where a document is wrong."""
    try:
        said = json.loads(body)
    except ValueError:
        said = {"detail": body.decode(errors="replace")}
    detail = said.get("detail", said) if isinstance(said, dict) else said
    more = {"diagnostics": detail["diagnostics"]} if _has_places(detail) else {}
    return {"msg": str(ApiError(status, detail)), "status_code": status, **more}


def _has_places(detail: object) -> bool:
    return isinstance(detail, dict) and bool(detail.get("diagnostics"))


def _bearer(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    scheme, _, rest = value.partition(b" ")
    if name.lower() != b"authorization" or scheme.lower() != b"basic":
        return name, value
    try:
        user, _, password = base64.b64decode(rest, validate=True).partition(b":")
    except binascii.Error:
        return name, value
    return name, b"Bearer " + (password or user)
