"""Pilots that begin with a secret, as somebody submits them, and what they ask."""

from typing import Any
from uuid import uuid4

import httpx2

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.core.database import session
from diracx_tasks.pilots import register, secrets
from tests.api.caller import Api
from tests.builders import VO, a_user

CAROL = a_user("carol", properties=(SERVICE,))
TOKEN, RENEW, SECRETS, MATCH = (f"/api/pilots/{one}" for one in ("token", "token/renew", "secrets", "match"))
NONCE, OTHER = "the-nonce-of-this-pilot", "the-nonce-of-some-thief"
SLOT = {"site": "LCG.CERN.ch", "cores": 1, "ram_mb": 4096}


def a_pilot_with_a_secret(vo: str = VO, **stated: Any) -> tuple[str, str]:
    """The stamp and the secret of a pilot that was submitted."""
    with session() as db:
        stamp = register.register(db, vo, site="LCG.CERN.ch", grid_type="Slurm")
        return stamp, secrets.give(db, vo, [stamp], **stated)[stamp]


def begin(api: Api, stamp: str, secret: str, nonce: str = NONCE) -> httpx2.Response:
    """The answer to a pilot that begins."""
    body = {"pilot_stamp": stamp, "pilot_secret": secret, "nonce": nonce}
    return api.post(TOKEN, body, by=None)


def begun(api: Api, vo: str = VO, **stated: Any) -> tuple[str, str]:
    """The stamp and the token of a pilot that has begun."""
    stamp, secret = a_pilot_with_a_secret(vo, **stated)
    answer = begin(api, stamp, secret)
    assert answer.status_code == 200, answer.text
    return stamp, answer.json()["access_token"]


def ask(api: Api, path: str, token: str, body: Any = None, method: str = "POST") -> httpx2.Response:
    """What is answered to the holder of a token."""
    return api.ask(method, path, by=None, headers={"Authorization": f"Bearer {token}"}, json=body)


def end(stamp: str, status: str = "Deleted", vo: str = VO) -> None:
    """It is killed, or has ended."""
    with session() as db:
        register.ended(db, vo, [stamp], status=status, reason="killed by carol")


def registered(vo: str = VO) -> str:
    """The stamp of a pilot that has no secret."""
    with session() as db:
        return register.register(db, vo, site="LCG.CERN.ch", grid_type="Slurm")


def new_stamp() -> str:
    """A stamp that nobody has."""
    return uuid4().hex
