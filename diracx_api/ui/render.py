"""How a page is made: its template, the headers that bind the browser, and the part that renews itself."""

import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from diracx_api.ui import visit, words
from diracx_tasks.auth import rights
from diracx_tasks.core.settings import settings

NO_STORE = {"Cache-Control": "no-store"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    **NO_STORE,
    "Content-Security-Policy": POLICY,
    # `same-origin`: with no referrer at all browsers would hide where a form comes from.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Vary": "Cookie, HX-Request",
}
FAILURES = {403: "Not allowed", 404: "Not found", 409: "Not possible now", 422: "Not understood"}


def page(
    request: Request, template: str, *, every: float | None = None, status: int = 200, **given: Any
) -> Response:
    """A page of ours; its block `live` is asked for again after `every` seconds, None: never."""
    context = {**_common(request), **given, "every": every, "is_part": is_part(request)}
    answer = HTMLResponse(text(template, **context), status, HEADERS)
    if context["is_part"]:
        return answer
    if visit.SAID in request.cookies:
        visit.forget(answer, visit.SAID)
    return answer


def text(template: str, **given: Any) -> str:
    """A template with its values in."""
    return _environment().get_template(template).render(given)


def onwards(request: Request, address: str, said: str = "") -> Response:
    """To a page after a form was sent, which says what was done."""
    answer = RedirectResponse(address, 303, NO_STORE)
    if said:
        visit.say(answer, request, said)
    return answer


def failure(request: Request, status: int, reason: str) -> Response:
    """The page that says what went wrong."""
    title = FAILURES.get(status, "That did not work")
    return page(request, "failure.html", status=status, heading=title, reason=reason)


def is_part(request: Request) -> bool:
    """Whether only the part that renews itself is asked for."""
    return request.headers.get("hx-request") == "true"


def login_address(request: Request) -> str:
    """Where one logs in and comes back here."""
    back = _address(request) if request.method == "GET" else visit.HOME
    return f"{visit.HOME}/login?{urlencode({'onwards': back})}"


@lru_cache
def asset(name: str) -> str:
    """The address of a file in `static`, which changes with its content."""
    content = (files("diracx_api.ui") / "static" / name).read_bytes()
    return f"{visit.HOME}/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


def _common(request: Request) -> dict[str, Any]:
    """What all templates know."""
    found = getattr(request.state, "visit", None)
    user = found.user if found else None
    return {
        "me": user,
        "form_key": found.form_key if found else "",
        "may_operate": bool(user and rights.operate.holds(user)),
        "said": visit.said(request),
        "address": _address(request),
        "path": request.url.path,
        "flower": _flower(),
    }


def _flower() -> str:
    """Where Flower is, without the password that `diracx up` has in its address."""
    parts = urlsplit(settings().flower_url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def _address(request: Request) -> str:
    return quote(request.url.path) + (f"?{request.url.query}" if request.url.query else "")


@lru_cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("diracx_api.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(words.FILTERS)
    made.globals["asset"] = asset
    made.globals["ui"] = made.get_template("macros.html").module
    return made
