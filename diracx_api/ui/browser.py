"""The browser of a login: at which address it has reached us, and whether it is the one that began."""

import hmac
import secrets

from fastapi import Request, Response

from diracx_tasks.auth import address
from diracx_tasks.auth.codes import hashed
from diracx_tasks.auth.device import normal
from diracx_tasks.auth.state import Pending
from diracx_tasks.core.errors import Forbidden
from diracx_tasks.core.settings import settings

PATH = "/api/auth/device"


def own(request: Request) -> str:
    """The address at which the browser or client has reached us; BadRequest when it is none of ours."""
    return address.ours(str(request.base_url))


def is_one(request: Request) -> bool:
    """Whether somebody looks at the answer: programs do not ask for pages."""
    return "text/html" in request.headers.get("accept", "")


def new_secret() -> str:
    """What one browser is to know."""
    return secrets.token_urlsafe(32)


def remember(response: Response, user_code: str, secret: str, *, at: str) -> Response:
    """The response with a cookie, by which the browser that begins a device's login is known again."""
    response.set_cookie(
        _name(user_code),
        secret,
        max_age=int(settings().device_flow_seconds),
        path=PATH,
        secure=at.startswith("https:"),
        httponly=True,
        # Lax: it must come along when the provider sends the browser back.
        samesite="lax",
    )
    return response


def must_have_begun(request: Request, pending: Pending) -> None:
    """Forbidden unless this browser began the login of a device; a page sees to that itself, by `state`."""
    given = hashed(request.cookies.get(_name(pending.key), ""))
    if pending.flow == "device" and not hmac.compare_digest(given, pending.browser):
        raise Forbidden(
            "another browser has begun this login, or this one keeps no cookies: open the address that the "
            "device shows again"
        )


def _name(user_code: str) -> str:
    """One for each code: two logins at a time do not disturb each other."""
    return f"diracx-device-{normal(user_code)}"
