"""Login on a device: it shows a code, somebody confirms it in a browser, the device collects the tokens."""

import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from diracx_tasks.auth import room, scopes
from diracx_tasks.auth.codes import Login, hashed, must_be_ours
from diracx_tasks.auth.tables import DeviceFlow, Flow
from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.core.errors import BadRequest, Unauthenticated
from diracx_tasks.core.settings import settings

# RFC 8628, 6.1: no vowels, so no words; nothing that looks like something else.
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
LENGTH = 8
DRAWS = 5


@dataclass(frozen=True)
class Codes:
    """What is shown to people, and what the device asks with."""

    user_code: str
    device_code: str


@dataclass(frozen=True)
class Waiting:
    """Nobody has confirmed the code yet."""


@dataclass(frozen=True)
class Refused:
    """The provider, or whoever was asked, has refused: OAuth's error and its words."""

    error: str
    description: str


def begin(db: Session, *, client_id: str, scope: str) -> Codes:
    """New codes for a login that asks for a scope."""
    must_be_ours(client_id, "Unrecognised client ID")
    scopes.parse(scope)
    room.must_be_left(db, DeviceFlow)
    for _ in range(DRAWS):
        codes = Codes("".join(secrets.choice(LETTERS) for _ in range(LENGTH)), secrets.token_urlsafe(32))
        values = {
            "user_code": codes.user_code,
            "device_code": hashed(codes.device_code),
            "status": Flow.PENDING,
            "created_at": utc_now(),
            "client_id": client_id,
            "scope": scope,
        }
        try:
            with db.begin_nested():
                db.execute(insert(DeviceFlow).values(values))
        except IntegrityError:
            continue
        return codes
    raise BadRequest("no free code was found: try again")


def asked_scope(db: Session, user_code: str) -> str:
    """What the login of a code asks for; BadRequest unless it waits to be confirmed."""
    found = db.scalar(
        select(DeviceFlow.scope).where(DeviceFlow.user_code == normal(user_code), *_still_pending())
    )
    if found is None:
        raise _no_row(user_code)
    return found


def confirm(db: Session, user_code: str, subject: str) -> None:
    """Somebody has logged in for this code; BadRequest when it does not wait for that."""
    _end(db, user_code, Flow.READY, {"sub": subject})


def refuse(db: Session, user_code: str, error: str, description: str) -> None:
    """Nobody logs in with this code: the device is told why."""
    _end(db, user_code, Flow.ERROR, {"error": error, "error_description": description})


def collect(db: Session, device_code: str, *, client_id: str) -> Login | Waiting | Refused:
    """Who has confirmed; once only. Errors are in DiracX's words."""
    is_expired = DeviceFlow.created_at <= utc_now(-settings().device_flow_seconds)
    row = db.execute(
        select(DeviceFlow, is_expired).where(DeviceFlow.device_code == hashed(device_code))
    ).one_or_none()
    if row is None:
        raise BadRequest("Device code is unknown")
    flow, expired = row
    if flow.client_id != client_id:
        raise BadRequest("Bad client_id")
    if flow.status == Flow.DONE:
        raise BadRequest("Code was already used")
    kept = flow.id_token or {}
    if flow.status == Flow.ERROR:
        return Refused(kept.get("error", "access_denied"), kept.get("error_description", ""))
    if expired:
        raise Unauthenticated("Device code expired")
    if flow.status == Flow.PENDING:
        return Waiting()
    # Of two that ask at once only one changes the row.
    is_ready = (DeviceFlow.user_code == flow.user_code, DeviceFlow.status == Flow.READY)
    if not changed(db, update(DeviceFlow).where(*is_ready).values(status=Flow.DONE)):
        raise BadRequest("Code was already used")
    return Login(flow.scope, kept["sub"])


def normal(user_code: str) -> str:
    """A code as it is stored, however somebody typed it."""
    return "".join(letter for letter in user_code.upper() if letter in LETTERS)


def _end(db: Session, user_code: str, status: Flow, kept: dict[str, str]) -> None:
    is_open = (DeviceFlow.user_code == normal(user_code), *_still_pending())
    if not changed(db, update(DeviceFlow).where(*is_open).values(status=status, id_token=kept)):
        raise _no_row(user_code)


def _still_pending() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    is_fresh = DeviceFlow.created_at > utc_now(-settings().device_flow_seconds)
    return DeviceFlow.status == Flow.PENDING, is_fresh


def _no_row(user_code: str) -> BadRequest:
    words = f"the code {normal(user_code)} is unknown, used or expired"
    return BadRequest(f"No row was found when one was required: {words}")
