"""Logins that last: whose refresh tokens there are, and ending one by its id."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.auth.rights import PROXIES
from diracx_tasks.auth.tables import RefreshToken, State
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed
from diracx_tasks.core.errors import BadRequest, Forbidden, NotFound

MOST = 10_000
# Of one's own, as many as somebody looks through.
MOST_OWN = 100


@dataclass(frozen=True)
class Given:
    """A refresh token that was given out."""

    jti: str
    is_revoked: bool
    scope: str
    sub: str


def refresh_tokens(db: Session, by: User) -> list[Given]:
    """The user's own that hold; all of his VO for who manages proxies. The newest MOST."""
    wanted = select(RefreshToken).order_by(RefreshToken.jti.desc()).limit(MOST)
    if PROXIES in by.properties:
        wanted = wanted.where(RefreshToken.sub.startswith(f"{by.vo}:", autoescape=True))
    else:
        wanted = wanted.where(RefreshToken.sub == _sub(by), RefreshToken.status == State.CREATED)
    # MySQL takes `Alice` and `alice` for the same.
    found = [row for row in db.scalars(wanted) if _may_see(by, row.sub)]
    return [Given(row.jti, row.status == State.REVOKED, row.scope, row.sub) for row in found]


def own(db: Session, by: User) -> list[Given]:
    """The user's own that hold, whatever he manages; the newest MOST_OWN."""
    mine = (RefreshToken.sub == _sub(by), RefreshToken.status == State.CREATED)
    rows = db.scalars(select(RefreshToken).where(*mine).order_by(RefreshToken.jti.desc()).limit(MOST_OWN))
    return [Given(row.jti, False, row.scope, row.sub) for row in rows if row.sub == _sub(by)]


def revoke(db: Session, jti: str, by: User) -> None:
    """End a login; NotFound when it is of another VO, Forbidden when it is a colleague's."""
    try:
        wanted = str(UUID(jti))
    except ValueError as error:
        raise BadRequest(str(error)) from error
    found = db.scalar(select(RefreshToken).where(RefreshToken.jti == wanted))
    if found is None or not found.sub.startswith(f"{by.vo}:"):
        raise NotFound(f"Token {jti} not found")
    if not _may_see(by, found.sub):
        raise Forbidden("Cannot revoke a refresh token owned by someone else")
    changed(db, update(RefreshToken).where(RefreshToken.jti == wanted).values(status=State.REVOKED))


def _may_see(by: User, sub: str) -> bool:
    return sub == _sub(by) or (PROXIES in by.properties and sub.startswith(f"{by.vo}:"))


def _sub(user: User) -> str:
    return f"{user.vo}:{user.subject}"
