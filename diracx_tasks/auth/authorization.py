"""Login of a page in a browser: OAuth's authorization code with PKCE."""

import hmac
import secrets
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session
from uuid_utils import uuid7

from diracx_tasks.auth import address, room, scopes
from diracx_tasks.auth.codes import Login, hashed, must_be_ours
from diracx_tasks.auth.tables import AuthorizationFlow, Flow
from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.core.errors import BadRequest, Unauthenticated
from diracx_tasks.core.settings import settings

# DiracX-Web's page, that of our own pages, and that of the API's own documentation.
WEB_CALLBACK = "/#authentication-callback"
OWN_CALLBACK = "/ui/login/done"
DOCS_CALLBACK = "/api/docs/oauth2-redirect"


@dataclass(frozen=True)
class Request:
    """What a page asks for when it sends its user here."""

    client_id: str
    redirect_uri: str
    scope: str
    code_challenge: str


def begin(db: Session, request: Request, *, own: str) -> str:
    """The UUID of a new login; `own` is the address at which this server was asked."""
    check(request, own=own)
    room.must_be_left(db, AuthorizationFlow)
    flow = str(uuid7())
    values = {
        "uuid": flow,
        "status": Flow.PENDING,
        "created_at": utc_now(),
        "client_id": request.client_id,
        "scope": request.scope,
        "code_challenge": request.code_challenge,
        "code_challenge_method": "S256",
        "redirect_uri": request.redirect_uri,
    }
    db.execute(insert(AuthorizationFlow).values(values))
    return flow


def check(request: Request, *, own: str) -> scopes.Scope:
    """The scope that is asked for; BadRequest unless client, page and scope are good."""
    must_be_ours(request.client_id, "Unrecognised client_id")
    must_be_a_page(request.redirect_uri, own=own)
    return scopes.parse(request.scope)


def must_be_a_page(redirect_uri: str, *, own: str) -> None:
    """BadRequest unless a login may return to it."""
    if redirect_uri not in pages(own):
        raise BadRequest("Unrecognised redirect_uri")


def pages(own: str) -> set[str]:
    """Every page that a login may return to; BadRequest when `own` is not ours."""
    ours = {address.ours(own), settings().url.rstrip("/")}
    origins = ours | {origin.rstrip("/") for origin in settings().web_origins}
    return {
        *settings().allowed_redirects,
        *(origin + WEB_CALLBACK for origin in origins),
        *(origin + page for origin in ours for page in (OWN_CALLBACK, DOCS_CALLBACK)),
    }


def confirm(db: Session, flow: str, subject: str) -> str:
    """Somebody has logged in: a code for the page, to be used once. Unauthenticated when it is too late."""
    # The flow's own id leads to its row: the code's hash has no index.
    code = f"{UUID(flow).hex}{secrets.token_urlsafe(32)}"
    _end(db, flow, status=Flow.READY, code=hashed(code), id_token={"sub": subject})
    return code


def refuse(db: Session, flow: str, error: str) -> None:
    """Nobody logs in with this one."""
    _end(db, flow, status=Flow.ERROR, id_token={"error": error})


def collect(db: Session, code: str, *, client_id: str, redirect_uri: str, verifier: str) -> Login:
    """Who has logged in; once only. Errors are in DiracX's words."""
    flow = _flow_of(db, code)
    if flow.client_id != client_id:
        raise BadRequest("Bad client_id")
    if flow.redirect_uri != redirect_uri:
        raise BadRequest("Invalid redirect_uri")
    if not hmac.compare_digest(_challenge(verifier), flow.code_challenge.rstrip("=").encode()):
        raise BadRequest("Invalid code_challenge")
    is_ready = (AuthorizationFlow.uuid == flow.uuid, AuthorizationFlow.status == Flow.READY)
    if not changed(db, update(AuthorizationFlow).where(*is_ready).values(status=Flow.DONE)):
        raise BadRequest("Code was already used")
    return Login(flow.scope, (flow.id_token or {})["sub"])


def answer_to(redirect_uri: str, **answer: str) -> str:
    """The page's address with an answer; after the fragment if it has one, as DiracX-Web wants it."""
    _, _, last = redirect_uri.rpartition("#")
    return f"{redirect_uri}{'&' if '?' in last else '?'}{urlencode(answer)}"


def _flow_of(db: Session, code: str) -> AuthorizationFlow:
    try:
        flow = str(UUID(code[:32]))
    except ValueError as error:
        raise BadRequest("Code is unknown") from error
    is_expired = AuthorizationFlow.created_at <= utc_now(-settings().authorization_flow_seconds)
    row = db.execute(
        select(AuthorizationFlow, is_expired).where(
            AuthorizationFlow.uuid == flow, AuthorizationFlow.code == hashed(code)
        )
    ).one_or_none()
    if row is None:
        raise BadRequest("Code is unknown")
    if row[0].status == Flow.DONE:
        raise BadRequest("Code was already used")
    if row[1]:
        raise Unauthenticated("Code expired")
    found: AuthorizationFlow = row[0]
    return found


def _challenge(verifier: str) -> bytes:
    try:
        challenge: str = create_s256_code_challenge(verifier)
    except UnicodeEncodeError as error:
        raise BadRequest("Invalid code_challenge") from error
    return challenge.encode()


def _end(db: Session, flow: str, **values: object) -> None:
    is_open = (
        AuthorizationFlow.uuid == flow,
        AuthorizationFlow.status == Flow.PENDING,
        AuthorizationFlow.created_at > utc_now(-settings().authorization_flow_seconds),
    )
    if not changed(db, update(AuthorizationFlow).where(*is_open).values(values)):
        raise Unauthenticated("this login has ended or expired: begin again")
