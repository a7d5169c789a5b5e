"""Somebody who looks at our own pages: a login like any other, kept by the browser in a cookie."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from diracx_tasks.auth import authorization, grant, refresh
from diracx_tasks.auth.codes import hashed
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.settings import settings


@dataclass(frozen=True)
class Visit:
    """A login in a browser: who it is, and `ticket`, which the browser's cookie holds."""

    user: User
    ticket: str

    @property
    def form_key(self) -> str:
        """What each form carries, so that no page from elsewhere can send it: it has not read the cookie."""
        return hashed(f"form:{self.ticket}")


def begin(db: Session, code: str, *, redirect_uri: str, verifier: str) -> Visit:
    """The visit of who has logged in; errors are those of the authorization flow."""
    login = authorization.collect(
        db, code, client_id=settings().client_id, redirect_uri=redirect_uri, verifier=verifier
    )
    tokens = refresh.begin(db, login.scope, login.subject)
    return Visit(grant.user_of(login.scope, login.subject), tokens.refresh)


def find(db: Session, ticket: str) -> Visit:
    """The visit of a cookie as the configuration stands now; Unauthenticated when it has ended."""
    return Visit(refresh.holder(db, ticket), ticket)
