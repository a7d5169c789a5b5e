"""Login and tokens: the device flow, the authorization-code flow, refreshing and revoking."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Form, Header, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from sqlalchemy.orm import Session

from diracx_api.deps import Db, Me, ReadDb, Router
from diracx_api.models import auth as models
from diracx_api.ui import browser
from diracx_api.ui import login as pages
from diracx_tasks.auth import authorization, device, flows, legacy, refresh, rights, sessions, state
from diracx_tasks.auth.codes import hashed
from diracx_tasks.auth.device import Waiting
from diracx_tasks.auth.exchange import Outcome, exchange
from diracx_tasks.auth.grant import Tokens
from diracx_tasks.auth.refresh import Reused
from diracx_tasks.core.errors import BadRequest, DiracXError, Unauthenticated
from diracx_tasks.core.settings import settings

router = Router("auth", "/api/auth")
FORM_BYTES = 1 << 16
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
# What the provider sends, and what we send it, is not for the next page's log.
PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}

ClientId = Annotated[
    str, Query(max_length=255, description="The client that asks.", examples=["myDIRACClientID"])
]
Scope = Annotated[
    str,
    Query(max_length=1024, description="A VO, a group, properties.", examples=["vo:lhcb group:lhcb_user"]),
]
Back = Annotated[models.ProviderAnswer, Query()]


@router.post("/device", right=rights.anyone)
def initiate_device_flow(
    db: Db, request: Request, client_id: ClientId, scope: Scope
) -> models.InitiateDeviceFlowResponse:
    """Begin a login on a device: it shows the code and asks for its tokens until somebody has confirmed."""
    codes = device.begin(db, client_id=client_id, scope=scope)
    address = f"{browser.own(request)}/api/auth/device"
    return models.InitiateDeviceFlowResponse(
        user_code=codes.user_code,
        device_code=codes.device_code,
        verification_uri_complete=f"{address}?{urlencode({'user_code': codes.user_code})}",
        verification_uri=address,
        expires_in=int(settings().device_flow_seconds),
        interval=models.INTERVAL,
    )


@router.get("/device", right=rights.anyone, status_code=307, response_class=RedirectResponse)
def do_device_flow(
    db: ReadDb,
    request: Request,
    user_code: Annotated[str, Query(max_length=64, description="The code.", examples=["BCDFGHJK"])],
) -> Response:
    """Send somebody's browser to his VO's provider to confirm a device's code."""
    own, secret = browser.own(request), browser.new_secret()
    try:
        where = flows.for_device(db, user_code, own=own, browser=hashed(secret))
    except DiracXError as error:
        if not browser.is_one(request):
            raise
        minutes = settings().device_flow_seconds / 60
        words = (
            f"The code {user_code} is not known, was used, or is older than {minutes:g} minutes: begin again."
        )
        return pages.message("There is no such code", words, status=error.http_status)
    return browser.remember(_on(where), user_code, secret, at=own)


@router.get("/device/complete", right=rights.anyone, status_code=307, response_class=RedirectResponse)
def finish_device_flow(db: Db, request: Request, answer: Back) -> Response:
    """The provider sends the browser back here: its user is asked whether he wants it, or told why not."""
    return _back(db, request, answer)


@router.get("/device/complete/finished", right=rights.anyone, response_class=HTMLResponse)
def finished() -> Response:
    """The last page of a login on a device."""
    return pages.message("Please close the window", "You are logged in on the device.")


@router.get("/authorize", right=rights.anyone, status_code=307, response_class=RedirectResponse)
def initiate_authorization_flow(
    db: Db, request: Request, asked: Annotated[models.AuthorizationRequest, Query()]
) -> Response:
    """Send the user of a page to his VO's provider to log in."""
    wanted = authorization.Request(asked.client_id, asked.redirect_uri, asked.scope, asked.code_challenge)
    return _on(flows.for_page(db, wanted, state=asked.state, own=browser.own(request)))


@router.get("/authorize/complete", right=rights.anyone, status_code=307, response_class=RedirectResponse)
def complete_authorization_flow(db: Db, request: Request, answer: Back) -> Response:
    """The provider sends the browser back here, and we send it on to the page with a code, or an error."""
    return _back(db, request, answer)


@router.post("/token", right=rights.anyone, response_model=models.TokenResponse, max_body_size=FORM_BYTES)
def get_oidc_token(db: Db, form: Annotated[models.TokenRequest, Form()]) -> Response:
    """Tokens for a login that somebody has confirmed, or for a refresh token, which is then used up."""
    return _answer(exchange(db, **form.model_dump()))


@router.post("/revoke", right=rights.anyone, max_body_size=FORM_BYTES)
def revoke_refresh_token_by_refresh_token(db: Db, form: Annotated[models.RevokeRequest, Form()]) -> str:
    """End the login of a refresh token; also 200 when it is none of ours, as RFC 7009 wants it."""
    if form.client_id != settings().client_id:
        raise Unauthenticated("Unrecognised client_id")
    if form.token_type_hint == "access_token":
        raise BadRequest("unsupported_token_type")
    refresh.revoke(db, form.token)
    return "Refresh token revoked"


@router.get("/refresh-tokens", right=rights.authenticated)
def get_refresh_tokens(db: ReadDb, me: Me) -> list[models.RefreshToken]:
    """The user's logins that last; for who manages proxies all of the VO, also those that have ended."""
    return [models.RefreshToken.of(one) for one in sessions.refresh_tokens(db, me)]


@router.delete("/refresh-tokens/{jti}", right=rights.authenticated)
def revoke_refresh_token_by_jti(
    db: Db,
    me: Me,
    jti: Annotated[
        str, Path(max_length=64, description="Its id.", examples=["0199c0de-0000-7000-8000-000000000000"])
    ],
) -> str:
    """End a login; again is harmless."""
    sessions.revoke(db, jti, me)
    return "Refresh token revoked"


@router.get("/userinfo", right=rights.authenticated)
def userinfo(me: Me) -> models.UserInfoResponse:
    """Who the token's user is."""
    return models.UserInfoResponse.of(me)


@router.get(
    "/legacy-exchange",
    right=rights.legacy_key,
    response_model=models.TokenResponse,
    include_in_schema=False,
)
def legacy_exchange(
    db: Db,
    preferred_username: Annotated[str, Query(max_length=64)],
    scope: Scope,
    authorization: Annotated[str | None, Header()] = None,
    expires_minutes: Annotated[int | None, Query(ge=1, le=legacy.MOST_MINUTES)] = None,
) -> Response:
    """Tokens of a user whose proxy DIRAC 9 has checked."""
    legacy.must_know_the_key(authorization)
    return _answer(legacy.exchange(db, username=preferred_username, scope=scope, minutes=expires_minutes))


def _back(db: Session, request: Request, answer: models.ProviderAnswer) -> Response:
    """Where the browser goes when a provider has sent it back."""
    own, pending = browser.own(request), state.unseal(answer.state)
    browser.must_have_begun(request, pending)
    if answer.error is not None:
        where = flows.refuse(db, pending, answer.error, answer.error_description, own=own)
        words = answer.error_description or answer.error
        return _on(where) if where else pages.message("The login was refused", words, status=403)
    if answer.code is None:
        raise BadRequest("the provider gave neither a code nor an error")
    return _on(flows.complete(db, pending, answer.code, own=own))


def _on(address: str) -> Response:
    return RedirectResponse(address, 307, PRIVATE)


def _answer(outcome: Outcome) -> Response:
    """An outcome as OAuth has it; what was revoked is committed although the answer is an error."""
    if isinstance(outcome, Tokens):
        return JSONResponse(models.TokenResponse.of(outcome).model_dump(), 200, NO_STORE)
    if isinstance(outcome, Reused):
        return JSONResponse({"detail": outcome.words}, 401, {**NO_STORE, "WWW-Authenticate": "Bearer"})
    if isinstance(outcome, Waiting):
        return JSONResponse({"error": "authorization_pending"}, 400, NO_STORE)
    told = {"error": outcome.error, "error_description": outcome.description}
    return JSONResponse(told, 400, NO_STORE)
