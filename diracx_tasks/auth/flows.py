"""The way of a login's browser: from here to the VO's provider, back, and on to who asked for the login."""

import secrets
from dataclasses import replace
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from diracx_tasks.auth import authorization, device, providers, scopes, state
from diracx_tasks.auth.state import Pending
from diracx_tasks.core.config import config
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.core.registry import VirtualOrganization
from diracx_tasks.core.settings import settings

BACK = {"device": "/api/auth/device/complete", "authorization": "/api/auth/authorize/complete"}
CONFIRM = "/api/auth/device/complete/confirm"
FINISHED = "/api/auth/device/complete/finished"
LOGIN_PAGE = "/api/auth/login"


def for_device(db: Session, user_code: str, *, own: str, browser: str) -> str:
    """Where somebody logs in to confirm a device's code.

    `own` is the address at which we were asked, `browser` the hash of what only this browser knows.
    """
    vo = scopes.parse(device.asked_scope(db, user_code)).vo
    return _elsewhere(Pending("device", device.normal(user_code), vo, _verifier(), browser=browser), own)


def for_page(db: Session, request: authorization.Request, *, state: str, own: str) -> str:
    """Where the user of a page logs in; `state` goes back to the page."""
    vo = authorization.check(request, own=own).vo
    # The provider is asked first: nobody else's writing should wait for it.
    _must_have_a_login(vo)
    flow = authorization.begin(db, request, own=own)
    return _elsewhere(Pending("authorization", flow, vo, _verifier(), request.redirect_uri, state), own)


def complete(db: Session, pending: Pending, code: str, *, own: str) -> str:
    """Ask the provider whose code it is; where the browser goes on: with a device's, to our question."""
    provider = providers.provider_of(pending.vo, registry_of(pending.vo))
    back = own + BACK[pending.flow]
    subject = providers.subject_of(provider, code, verifier=pending.verifier, redirect_uri=back)
    if pending.flow == "device":
        # Who is logged in at the provider is not asked there: a link alone must log in nobody's device.
        known = state.seal(replace(pending, subject=subject))
        return f"{own}{CONFIRM}?{urlencode({'state': known})}"
    return confirm(db, pending, subject, own=own)


def asked(db: Session, pending: Pending) -> scopes.Scope:
    """What a device's login would give; BadRequest unless it waits for its user's word."""
    if not pending.subject:
        raise BadRequest("Invalid state")
    return scopes.parse(device.asked_scope(db, pending.key))


def confirm(db: Session, pending: Pending, subject: str, *, own: str) -> str:
    """Somebody has logged in; answers where the browser goes on."""
    if pending.flow == "device":
        device.confirm(db, pending.key, subject)
        return own + FINISHED
    authorization.must_be_a_page(pending.redirect_uri, own=own)
    code = authorization.confirm(db, pending.key, subject)
    return authorization.answer_to(pending.redirect_uri, code=code, state=pending.state)


def refuse(db: Session, pending: Pending, error: str, description: str, *, own: str) -> str | None:
    """Nobody logs in: who asked is told so. Where the browser goes on, None for a device's."""
    if pending.flow == "device":
        device.refuse(db, pending.key, error, description)
        return None
    authorization.must_be_a_page(pending.redirect_uri, own=own)
    authorization.refuse(db, pending.key, error)
    answer = {"error": error, **({"error_description": description} if description else {})}
    return authorization.answer_to(pending.redirect_uri, **answer, state=pending.state)


def is_ours(vo: str) -> bool:
    """Whether our own page stands in for the VO's provider."""
    return settings().login_page and registry_of(vo).IdP is None


def registry_of(vo: str) -> VirtualOrganization:
    """What the configuration says of a VO; BadRequest when it has gone meanwhile."""
    found = config().Registry.get(vo)
    if found is None:
        raise BadRequest(f"VO {vo} is not known to this installation")
    return found


def _must_have_a_login(vo: str) -> None:
    if not is_ours(vo):
        providers.must_answer(providers.provider_of(vo, registry_of(vo)))


def _elsewhere(pending: Pending, own: str) -> str:
    sealed = state.seal(pending)
    if is_ours(pending.vo):
        return f"{own}{LOGIN_PAGE}?{urlencode({'state': sealed})}"
    provider = providers.provider_of(pending.vo, registry_of(pending.vo))
    back = own + BACK[pending.flow]
    return providers.login_url(provider, redirect_uri=back, state=sealed, verifier=pending.verifier)


def _verifier() -> str:
    return secrets.token_urlsafe(48)
