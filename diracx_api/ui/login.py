"""The pages of a login: HTML without a script, and nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from html import escape
from importlib.resources import files
from string import Template
from urllib.parse import urlsplit

from fastapi.responses import HTMLResponse

from diracx_tasks.auth.scopes import Scope
from diracx_tasks.auth.state import Pending

# `same-origin`: with no referrer at all browsers would hide where a form comes from.
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def message(title: str, words: str, *, status: int = 200) -> HTMLResponse:
    """A page that says one thing."""
    return _page(title, f"<p>{escape(words)}</p>", status=status)


def form(
    pending: Pending, sealed: str, users: Mapping[str, str], *, complaint: str = "", status: int = 200
) -> HTMLResponse:
    """The embedded login page; `users` are names by subject."""
    options = "".join(
        f'<option value="{escape(subject)}">{escape(name)}</option>'
        for subject, name in sorted(users.items(), key=lambda one: one[1])
    )
    content = _template("login.html").substitute(
        alert=f'<p class="alert" role="alert">{escape(complaint)}</p>' if complaint else "",
        vo=escape(pending.vo),
        what=_what(pending),
        state=escape(sealed),
        users=options,
    )
    return _page("Log in to DiracX", content, status=status, onwards=_origin(pending.redirect_uri))


def question(pending: Pending, sealed: str, asked: Scope, name: str) -> HTMLResponse:
    """The page that asks somebody whether he wants a device's login; `name` is who he is."""
    content = _template("confirm.html").substitute(
        who=escape(name),
        vo=escape(asked.vo),
        code=escape(pending.key),
        group=escape(asked.group),
        properties=escape(", ".join(sorted(asked.properties)) or "none"),
        state=escape(sealed),
    )
    return _page("Log in a device?", content)


def _what(pending: Pending) -> str:
    if pending.flow == "device":
        return (
            f"A program asks for a login to {escape(pending.vo)} with the code "
            f"<strong>{escape(pending.key)}</strong>. Refuse if your terminal shows another one."
        )
    return f"The page at <strong>{escape(_origin(pending.redirect_uri))}</strong> asks for a login to it."


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _page(title: str, content: str, *, status: int = 200, onwards: str = "") -> HTMLResponse:
    style, digest = _style()
    text = _template("page.html").substitute(title=escape(title), style=style, content=content)
    # Browsers hold a form's redirects, too, against form-action.
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self' {onwards}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(text, status, {**HEADERS, "Content-Security-Policy": policy})


@lru_cache
def _template(name: str) -> Template:
    return Template((files("diracx_api.ui") / name).read_text())


@lru_cache
def _style() -> tuple[str, str]:
    """The pages' style, and its sha256 for the policy."""
    text = (files("diracx_api.ui") / "style.css").read_text()
    return text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
