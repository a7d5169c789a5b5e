"""Our own pages in a login: what a device asks for, and the page that stands in for a missing provider."""

from typing import Annotated, Literal

from fastapi import Form, Header, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel

from diracx_api.deps import Db, ReadDb, Router
from diracx_api.models.fields import stated
from diracx_api.ui import browser
from diracx_api.ui import login as pages
from diracx_tasks.auth import flows, password, rights, state
from diracx_tasks.auth.state import Pending
from diracx_tasks.core.errors import DiracXError, Forbidden, NotFound

router = Router("auth", "/api/auth")
FORM_BYTES = 1 << 16
# A page of another origin may not send our form.
OWN = (None, "same-origin", "none")
Site = Annotated[str | None, Header()]


class LoginForm(BaseModel):
    """What the page sends."""

    state: str = stated("What the login is about.", "gAAAAA…", max_length=8192)
    subject: str = stated("Who logs in.", "alice", max_length=255)
    password: str = stated("What `diracx up` has printed.", "n5Nl3…", default="", max_length=200)
    action: Literal["login", "refuse"] = stated("Which button.", "login", default="login")


class ConfirmForm(BaseModel):
    """What somebody says of a device's login."""

    state: str = stated("What the login is about.", "gAAAAA…", max_length=8192)
    action: Literal["login", "refuse"] = stated("Which button.", "refuse")


@router.get(
    "/device/complete/confirm", right=rights.anyone, include_in_schema=False, response_class=HTMLResponse
)
def show_what_a_device_asks_for(
    db: ReadDb, request: Request, state: Annotated[str, Query(max_length=8192)]
) -> Response:
    """The page that asks who has come back from the provider whether he wants the device's login."""
    pending = _device(request, state)
    registry = flows.registry_of(pending.vo)
    user = registry.Users.get(pending.subject)
    name = user.PreferedUsername if user else pending.subject
    return pages.question(pending, state, flows.asked(db, pending), name)


@router.post(
    "/device/complete/confirm",
    right=rights.anyone,
    include_in_schema=False,
    response_class=HTMLResponse,
    max_body_size=FORM_BYTES,
)
def answer_a_device(
    db: Db, request: Request, form: Annotated[ConfirmForm, Form()], sec_fetch_site: Site = None
) -> Response:
    """Somebody has said whether he wants it: the device gets its tokens, or is told that he does not."""
    pending, own = _device(request, form.state), browser.own(request)
    _must_be_from_here(sec_fetch_site)
    flows.asked(db, pending)
    if form.action == "refuse":
        flows.refuse(db, pending, "access_denied", "it was refused by its user", own=own)
        return pages.message("Refused", "The device is told so.")
    return _on(flows.confirm(db, pending, pending.subject, own=own))


@router.get("/login", right=rights.anyone, include_in_schema=False, response_class=HTMLResponse)
def show_login_page(state: Annotated[str, Query(max_length=8192)]) -> Response:
    """The page on which somebody says who he is."""
    return _shown(_pending(state), state)


@router.post(
    "/login",
    right=rights.anyone,
    include_in_schema=False,
    response_class=HTMLResponse,
    max_body_size=FORM_BYTES,
)
def log_in(
    db: Db,
    request: Request,
    form: Annotated[LoginForm, Form()],
    sec_fetch_site: Site = None,
) -> Response:
    """Somebody has said who he is; with the right password the login goes on."""
    pending, own = _pending(form.state), browser.own(request)
    _must_be_from_here(sec_fetch_site)
    if form.action == "refuse":
        where = flows.refuse(db, pending, "access_denied", "it was refused on the login page", own=own)
        return _on(where) if where else pages.message("Refused", "The device is told so.")
    try:
        password.check(form.password)
    except DiracXError as error:
        return _shown(pending, form.state, complaint=str(error), status=error.http_status)
    if form.subject not in flows.registry_of(pending.vo).Users:
        raise Forbidden(f"{form.subject} is no user of {pending.vo}")
    return _on(flows.confirm(db, pending, form.subject, own=own))


def _device(request: Request, sealed: str) -> Pending:
    found = state.unseal(sealed)
    browser.must_have_begun(request, found)
    return found


def _must_be_from_here(site: str | None) -> None:
    if site not in OWN:
        raise Forbidden("this form was sent from another site")


def _pending(sealed: str) -> Pending:
    found = state.unseal(sealed)
    if not flows.is_ours(found.vo):
        raise NotFound(f"{found.vo} has a login of its own, or DIRACX_LOGIN_PAGE is off")
    return found


def _shown(pending: Pending, sealed: str, *, complaint: str = "", status: int = 200) -> Response:
    users = flows.registry_of(pending.vo).Users
    names = {subject: user.PreferedUsername for subject, user in users.items()}
    return pages.form(pending, sealed, names, complaint=complaint, status=status)


def _on(address: str) -> Response:
    return RedirectResponse(address, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
