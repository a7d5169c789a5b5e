"""Clients that are too old, or do not say what they are, are told so (DiracX's DiracX-Client-Version)."""

import json

from packaging.version import InvalidVersion, Version
from starlette.types import ASGIApp, Receive, Scope, Send

HEADER = b"diracx-client-version"
LEAST = Version("0.0.1a1")


class ClientVersion:
    """ASGI middleware that refuses clients older than LEAST with 400; those that say nothing pass."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer why not."""
        found = [value for name, value in scope.get("headers", ()) if name == HEADER]
        trouble = _trouble(found[0].decode("latin-1")) if found else ""
        if not trouble:
            await self.app(scope, receive, send)
            return
        body = json.dumps({"detail": trouble}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _trouble(stated: str) -> str:
    try:
        version = Version(stated)
    except InvalidVersion:
        return f"Invalid version string: {stated[:64]!r}"
    if version < LEAST:
        words = f"Client version {version} is not compatible with the server."
        return f"{words} Upgrade to a version >= {LEAST}."
    return ""
