"""Refresh tokens: each is used once and gives the next; a second use ends all logins of its user."""

import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwt import JWTClaimsRegistry
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session
from uuid_utils import uuid7

from diracx_tasks.auth import grant
from diracx_tasks.auth.grant import Tokens
from diracx_tasks.auth.keys import key_set
from diracx_tasks.auth.tables import RefreshToken, State
from diracx_tasks.auth.tokens import ALGORITHMS, User, sign
from diracx_tasks.core.database import changed
from diracx_tasks.core.errors import Unauthenticated

log = logging.getLogger(__name__)
_REGISTRY = JWTClaimsRegistry(exp={"essential": True}, jti={"essential": True})


@dataclass(frozen=True)
class Reused:
    """A refresh token was used a second time: all of its user's are revoked now, which must be committed."""

    words: str = "Revoked refresh token reused: potential attack detected. You must authenticate again"


def begin(
    db: Session, scope: str, subject: str, *, exp: int | None = None, is_legacy: bool = False
) -> Tokens:
    """The tokens of a new login; Forbidden when the configuration does not allow it."""
    user = grant.user_of(scope, subject)
    text = _give_out(db, user, scope, exp or grant.end_of_login(), is_legacy=is_legacy)
    return grant.access(user, text)


def rotate(db: Session, token: str) -> Tokens | Reused:
    """New tokens for a refresh token, which is then used up; the login ends when it would have.

    Those of the legacy exchange stay as they are.
    """
    claims = _claims(token)
    found = db.execute(
        select(RefreshToken).where(RefreshToken.jti == claims["jti"]).with_for_update()
    ).scalar_one_or_none()
    if found is None:
        raise Unauthenticated("Refresh token is unknown: log in again")
    vo, _, subject = found.sub.partition(":")
    if found.status != State.CREATED:
        return _reused(db, found)
    user = grant.user_of(found.scope, subject)
    if user.vo != vo:
        raise Unauthenticated("Refresh token is of another VO")
    if claims["legacy_exchange"]:
        return grant.access(user, token)
    is_unused = (RefreshToken.jti == found.jti, RefreshToken.status == State.CREATED)
    if not changed(db, update(RefreshToken).where(*is_unused).values(status=State.REVOKED)):
        return _reused(db, found)
    return grant.access(user, _give_out(db, user, found.scope, claims["exp"], is_legacy=False))


def holder(db: Session, token: str) -> User:
    """Whose refresh token it is, which is not used up; Unauthenticated when it was, or has expired."""
    claims = _claims(token)
    found = db.scalar(select(RefreshToken).where(RefreshToken.jti == claims["jti"]))
    if found is None or found.status != State.CREATED:
        raise Unauthenticated("this login has ended: log in again")
    return grant.user_of(found.scope, found.sub.partition(":")[2])


def number(token: str) -> str:
    """The jti of a refresh token, by which its login is listed."""
    return str(_claims(token, may_be_expired=True)["jti"])


def revoke_all(db: Session, sub: str) -> None:
    """End all logins of a user, in the order of their ids so that two who do it do not block each other."""
    rows = db.execute(
        select(RefreshToken.jti, RefreshToken.sub)
        .where(RefreshToken.sub == sub, RefreshToken.status == State.CREATED)
        .order_by(RefreshToken.jti)
    )
    # MySQL takes `Alice` and `alice` for the same.
    for jti in [row.jti for row in rows if row.sub == sub]:
        changed(db, update(RefreshToken).where(RefreshToken.jti == jti).values(status=State.REVOKED))


def revoke(db: Session, token: str) -> None:
    """End the login of a refresh token; one that is not ours, or has ended, is nothing to complain about."""
    try:
        claims = _claims(token, may_be_expired=True)
    except Unauthenticated:
        return
    changed(db, update(RefreshToken).where(RefreshToken.jti == claims["jti"]).values(status=State.REVOKED))


def _reused(db: Session, found: RefreshToken) -> Reused:
    log.warning("the refresh token %s of %s is used a second time: his logins end", found.jti, found.sub)
    revoke_all(db, found.sub)
    return Reused()


def _give_out(db: Session, user: User, scope: str, exp: int, *, is_legacy: bool) -> str:
    jti = str(uuid7())
    values = {"jti": jti, "status": State.CREATED, "scope": scope, "sub": f"{user.vo}:{user.subject}"}
    db.execute(insert(RefreshToken).values(values))
    return sign({"legacy_exchange": is_legacy}, jti, exp)


def _claims(token: str, *, may_be_expired: bool = False) -> dict[str, Any]:
    """What a refresh token says; Unauthenticated when it is none of ours, or has expired."""
    try:
        claims = jwt.decode(token, key_set(), algorithms=ALGORITHMS).claims
        if not may_be_expired:
            _REGISTRY.validate(claims)
        if not isinstance(claims["legacy_exchange"], bool):
            raise ValueError("legacy_exchange is no boolean")
        claims["jti"] = str(UUID(claims["jti"]))
    except ExpiredTokenError as error:
        raise Unauthenticated("expired_token: The token is expired: log in again") from error
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unauthenticated(f"decode_error: this is no refresh token of ours: {error}") from error
    return claims
