"""Into our pages and out of them: the flow of a page's login, with this server as the page."""

import secrets
from typing import Annotated

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from fastapi import Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from diracx_api.deps import Db
from diracx_api.ui import browser, render, visit
from diracx_api.ui.router import Me, Pages, Visitor
from diracx_tasks.auth import flows, refresh, rights, visits
from diracx_tasks.auth.authorization import OWN_CALLBACK
from diracx_tasks.auth.authorization import Request as Asked
from diracx_tasks.core.config import config
from diracx_tasks.core.errors import Forbidden
from diracx_tasks.core.settings import settings

router = Pages()
LONGEST = 2000
# As long as a page's address may be: where it is too long to come back to, one begins at the first page.
Onwards = Annotated[str, Query(max_length=65536)]
Name = Annotated[str, Query(max_length=255)]


@router.get("", right=rights.authenticated)
def home(me: Me) -> Response:
    """To what one looks at first."""
    first = "/ui/workflows" if rights.read.holds(me) else "/ui/operate"
    return RedirectResponse(first, 303, render.NO_STORE)


@router.get("/login", right=rights.anyone)
def show_login(request: Request, onwards: Onwards = visit.HOME) -> Response:
    """The page on which one chooses VO and group."""
    vos = [(name, vo.DefaultGroup, sorted(vo.Groups)) for name, vo in sorted(config().Registry.items())]
    return render.page(request, "login.html", vos=vos, onwards=_here(onwards))


@router.get("/login/begin", right=rights.anyone)
def begin_login(db: Db, request: Request, vo: Name, group: Name, onwards: Onwards = visit.HOME) -> Response:
    """Send the browser to its VO's provider."""
    own, state, verifier = browser.own(request), secrets.token_urlsafe(24), secrets.token_urlsafe(48)
    challenge = create_s256_code_challenge(verifier)
    asked = Asked(settings().client_id, own + OWN_CALLBACK, f"vo:{vo} group:{group}", challenge)
    answer = RedirectResponse(flows.for_page(db, asked, state=state, own=own), 303, render.NO_STORE)
    visit.begin(answer, request, state=state, verifier=verifier, onwards=_here(onwards))
    return answer


@router.get("/login/done", right=rights.anyone)
def end_login(
    db: Db,
    request: Request,
    *,
    state: Annotated[str, Query(max_length=255)],
    code: Annotated[str, Query(max_length=255)] = "",
    error: Annotated[str, Query(max_length=1024)] = "",
    error_description: Annotated[str, Query(max_length=1024)] = "",
) -> Response:
    """The browser comes back from the provider: from now on it is known by its cookie."""
    login, own = visit.begun(request), browser.own(request)
    if not secrets.compare_digest(login["state"].encode(), state.encode()):
        raise Forbidden("this browser has begun another login: try again")
    if not code:
        raise Forbidden(f"the login was refused: {error_description or error}")
    found = visits.begin(db, code, redirect_uri=own + OWN_CALLBACK, verifier=login["verifier"])
    answer = RedirectResponse(_here(login["onwards"]), 303, render.NO_STORE)
    visit.forget(answer, visit.BEGUN)
    visit.remember(answer, request, found)
    return answer


@router.get("/login/back", right=rights.authenticated)
def show_back(request: Request, me: Me) -> Response:
    """Where one goes on who has logged in in a window of its own."""
    return render.page(request, "back.html")


@router.post("/logout", right=rights.authenticated)
def log_out(db: Db, request: Request, visitor: Visitor, form_key: Annotated[str, Form()]) -> Response:
    """End the login here and at the server."""
    refresh.revoke(db, visitor.ticket)
    answer = RedirectResponse(f"{visit.HOME}/login", 303, render.NO_STORE)
    visit.forget(answer)
    visit.say(answer, request, "You are logged out.")
    return answer


def _here(onwards: str) -> str:
    """The address if it is one of our pages, and short: browsers drop a cookie of more than 4 kB."""
    is_ours = onwards == visit.HOME or onwards.startswith((f"{visit.HOME}/", f"{visit.HOME}?"))
    is_plain = "\\" not in onwards and onwards.isprintable() and len(onwards) <= LONGEST
    return onwards if is_ours and is_plain else visit.HOME
