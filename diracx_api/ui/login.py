"""The pages of a login: they look like our others, without a script, and nothing comes from elsewhere."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi.responses import HTMLResponse

from diracx_api.ui import render
from diracx_tasks.auth.scopes import Scope
from diracx_tasks.auth.state import Pending


def message(title: str, words: str, *, status: int = 200) -> HTMLResponse:
    """A page that says one thing."""
    return _page("message", title, status=status, words=words)


def form(
    pending: Pending, sealed: str, users: Mapping[str, str], *, complaint: str = "", status: int = 200
) -> HTMLResponse:
    """The embedded login page; `users` are names by subject."""
    asking = _origin(pending.redirect_uri)
    return _page(
        "login",
        "Log in to DiracX",
        status=status,
        onwards=asking,
        complaint=complaint,
        vo=pending.vo,
        code=pending.key if pending.flow == "device" else "",
        asking=asking,
        state=sealed,
        users=sorted(users.items(), key=lambda one: one[1]),
    )


def question(pending: Pending, sealed: str, asked: Scope, name: str) -> HTMLResponse:
    """The page that asks somebody whether he wants a device's login; `name` is who he is."""
    return _page(
        "confirm",
        "Log in a device?",
        who=name,
        vo=asked.vo,
        code=pending.key,
        group=asked.group,
        properties=", ".join(sorted(asked.properties)) or "none",
        state=sealed,
    )


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _page(template: str, title: str, *, status: int = 200, onwards: str = "", **given: Any) -> HTMLResponse:
    text = render.text(f"outside/{template}.html", title=title, **given)
    # Browsers hold a form's redirects, too, against form-action.
    policy = (
        f"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' {onwards}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(text, status, {**render.HEADERS, "Content-Security-Policy": policy})
