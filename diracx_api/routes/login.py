"""The embedded login page: it stands in for a VO's missing provider, on one machine, when it is on."""

from typing import Annotated, Literal

from fastapi import Form, Header, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel

from diracx_api.deps import Db, Router
from diracx_api.models.fields import stated
from diracx_api.ui import login as pages
from diracx_tasks.auth import flows, password, rights, state
from diracx_tasks.auth.state import Pending
from diracx_tasks.core.errors import DiracXError, Forbidden, NotFound

router = Router("auth", "/api/auth")
FORM_BYTES = 1 << 16
# A page of another origin may not send our form.
OWN = (None, "same-origin", "none")


class LoginForm(BaseModel):
    """What the page sends."""

    state: str = stated("What the login is about.", "gAAAAA…", max_length=8192)
    subject: str = stated("Who logs in.", "alice", max_length=255)
    password: str = stated("What `diracx up` has printed.", "n5Nl3…", default="", max_length=200)
    action: Literal["login", "refuse"] = stated("Which button.", "login", default="login")


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
    sec_fetch_site: Annotated[str | None, Header()] = None,
) -> Response:
    """Somebody has said who he is; with the right password the login goes on."""
    pending = _pending(form.state)
    if sec_fetch_site not in OWN:
        raise Forbidden("this form was sent from another site")
    if form.action == "refuse":
        where = flows.refuse(db, pending, "access_denied", "it was refused on the login page")
        return _on(where) if where else pages.message("Refused", "The device is told so.")
    try:
        password.check(form.password)
    except DiracXError as error:
        return _shown(pending, form.state, complaint=str(error), status=error.http_status)
    if form.subject not in flows.registry_of(pending.vo).Users:
        raise Forbidden(f"{form.subject} is no user of {pending.vo}")
    own = str(request.base_url).rstrip("/")
    return _on(flows.confirm(db, pending, form.subject, own=own))


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
