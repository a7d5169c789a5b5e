"""The cookies of our pages: who looks at them, which login is under way, and what is said once."""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from fastapi import Request, Response

from diracx_api.ui import browser
from diracx_tasks.auth import visits
from diracx_tasks.auth.visits import Visit
from diracx_tasks.core.database import new_session
from diracx_tasks.core.errors import Forbidden, Unauthenticated
from diracx_tasks.core.settings import settings

TICKET, BEGUN, SAID = "diracx-visit", "diracx-login", "diracx-said"
HOME = "/ui"
# A form of another page is sent without these, or with others.
HERE = "same-origin"
FROM_HERE = (None, HERE, "none")
SAID_SECONDS = 60


class OfEarlierLogin(Forbidden):
    """The form is of a page that was loaded before the login that the browser has now."""


def find(request: Request) -> Visit:
    """The visit that a request belongs to; Unauthenticated when there is none."""
    ticket = request.cookies.get(TICKET)
    if not ticket:
        raise Unauthenticated("you are not logged in")
    with new_session(reading=True) as db:
        return visits.find(db, ticket)


def is_from_here(request: Request) -> bool:
    """Whether no page of another site has sent a form, as far as the browser says."""
    return request.headers.get("sec-fetch-site") in FROM_HERE


def is_surely_from_here(request: Request) -> bool:
    """Whether a page of ours has sent a form: the browser says so, by the one header or the other."""
    site = request.headers.get("sec-fetch-site")
    return site == HERE if site else request.headers.get("origin") == browser.own(request)


def must_be_ours(request: Request, visit: Visit, form_key: str) -> None:
    """Forbidden unless a form was sent by a page of this visit (CSRF)."""
    if not is_from_here(request):
        raise Forbidden("this form was sent from another site")
    if not hmac.compare_digest(form_key.encode(), visit.form_key.encode()):
        raise OfEarlierLogin("this form is of an earlier login: load the page again")


def remember(response: Response, request: Request, visit: Visit) -> None:
    """Have the browser keep the visit."""
    keep(response, request, TICKET, visit.ticket, int(settings().refresh_minutes * 60))


def forget(response: Response, name: str = TICKET) -> None:
    """Have the browser forget one of our cookies."""
    response.delete_cookie(name, path=HOME)


def begin(response: Response, request: Request, **login: str) -> None:
    """Have the browser keep what it began a login with."""
    text = urlsafe_b64encode(json.dumps(login).encode()).decode()
    keep(response, request, BEGUN, text, int(settings().authorization_flow_seconds))


def begun(request: Request) -> dict[str, Any]:
    """What this browser began a login with; Forbidden when it has not."""
    try:
        found = json.loads(urlsafe_b64decode(request.cookies[BEGUN]))
    except (KeyError, ValueError):
        found = None
    if not isinstance(found, dict) or not {"state", "verifier", "onwards"} <= found.keys():
        raise Forbidden("this browser has begun no login, or keeps no cookies")
    return found


def say(response: Response, request: Request, words: str) -> None:
    """Have the next page say something, once."""
    keep(response, request, SAID, urlsafe_b64encode(words.encode()).decode(), SAID_SECONDS)


def said(request: Request) -> str:
    """What the page before wants said."""
    try:
        return urlsafe_b64decode(request.cookies.get(SAID, "")).decode()
    except ValueError:
        return ""


def keep(response: Response, request: Request, name: str, text: str, seconds: int) -> None:
    """A cookie that no script reads and that no other site's form brings along."""
    is_safe = browser.own(request).startswith("https:")
    response.set_cookie(name, text, max_age=seconds, path=HOME, secure=is_safe, httponly=True, samesite="lax")
