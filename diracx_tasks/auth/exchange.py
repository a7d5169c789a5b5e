"""Tokens for a login that was confirmed, or for the refresh token of the tokens before."""

from sqlalchemy.orm import Session

from diracx_tasks.auth import authorization, device, refresh
from diracx_tasks.auth.codes import Login, must_be_ours
from diracx_tasks.auth.device import Refused, Waiting
from diracx_tasks.auth.grant import Tokens
from diracx_tasks.auth.refresh import Reused
from diracx_tasks.core.errors import BadRequest

Outcome = Tokens | Waiting | Refused | Reused


def exchange(db: Session, grant_type: str, *, client_id: str, **given: str | None) -> Outcome:
    """What OAuth's token endpoint gives for a grant; BadRequest names a parameter that it lacks."""
    if grant_type == "refresh_token":
        must_be_ours(client_id, "Bad client_id")
        return refresh.rotate(db, _stated(grant_type, "refresh_token", given))
    if grant_type == "authorization_code":
        login = authorization.collect(
            db,
            _stated(grant_type, "code", given),
            client_id=client_id,
            redirect_uri=_stated(grant_type, "redirect_uri", given),
            verifier=_stated(grant_type, "code_verifier", given),
        )
        return refresh.begin(db, login.scope, login.subject)
    found = device.collect(db, _stated(grant_type, "device_code", given), client_id=client_id)
    return refresh.begin(db, found.scope, found.subject) if isinstance(found, Login) else found


def _stated(grant_type: str, name: str, given: dict[str, str | None]) -> str:
    value = given.get(name)
    if not value:
        raise BadRequest(f"the grant {grant_type} needs {name}")
    return value
