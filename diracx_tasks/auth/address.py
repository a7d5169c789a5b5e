"""The address at which a login reaches us: whoever asks states it, so only ours and this machine's count."""

import re
from urllib.parse import urlsplit

from diracx_tasks.core.errors import BadRequest
from diracx_tasks.core.settings import settings

# In full: a browser reads `http://evil.example\@localhost` in another way than we do.
LOOPBACK = re.compile(
    r"https?://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?(/[a-z0-9._/-]*)?", re.IGNORECASE
)
PORTS = {"http": 80, "https": 443}


def ours(stated: str) -> str:
    """The address without a slash at its end; BadRequest unless it is DIRACX_URL or on this machine."""
    known = settings().url.rstrip("/")
    if _normal(stated) == _normal(known):
        return known
    if LOOPBACK.fullmatch(stated):
        return stated.rstrip("/")
    raise BadRequest(
        f"logins are at {known}, and this was sent to another address: a proxy before the server must pass "
        "on Host and X-Forwarded-Proto, and DIRACX_URL must be what users type"
    )


def _normal(address: str) -> tuple[object, ...] | None:
    try:
        parts = urlsplit(address)
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/"), parts.query, parts.fragment
