"""DIRAC 9 exchanges a proxy that it has checked for tokens, with a key that both installations share."""

import base64
import binascii
import hashlib
import hmac
import time

from sqlalchemy.orm import Session

from diracx_tasks.auth import refresh, scopes
from diracx_tasks.auth.grant import Tokens, end_of_login
from diracx_tasks.core.config import config
from diracx_tasks.core.errors import BadRequest, Unauthenticated, Unavailable
from diracx_tasks.core.settings import settings

PREFIX = "diracx:legacy:"
# As long as a key that has signed is kept, but for the day in between.
MOST_MINUTES = 30 * 1440


def must_know_the_key(authorization: str | None) -> None:
    """Unavailable when there is no exchange, BadRequest or Unauthenticated when the key does not hold."""
    expected = settings().legacy_exchange_hashed_api_key
    if not expected:
        raise Unavailable("Legacy exchange is not enabled")
    scheme, _, given = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not given.startswith(PREFIX):
        raise BadRequest("Invalid authorization header")
    try:
        key = base64.urlsafe_b64decode(given.removeprefix(PREFIX).encode("ascii"))
    except (binascii.Error, ValueError) as error:
        raise BadRequest("Invalid authorization header") from error
    if not hmac.compare_digest(hashlib.sha256(key).hexdigest(), expected.lower()):
        raise Unauthenticated("Invalid credentials")


def exchange(db: Session, *, username: str, scope: str, minutes: int | None) -> Tokens:
    """Tokens of a user, whose refresh token lives so long and is not used up by refreshing."""
    try:
        vo = scopes.parse(scope).vo
    except BadRequest as error:
        raise BadRequest(f"Invalid scope or preferred_username: {error}") from error
    subject = config().Registry[vo].subject_of(username)
    if subject is None:
        raise BadRequest("Invalid scope or preferred_username")
    exp = int(time.time() + minutes * 60) if minutes else end_of_login()
    return refresh.begin(db, scope, subject, exp=exp, is_legacy=True)
