"""How a pilot comes by its token: with a secret that is good once, and by renewing what it has."""

from typing import Any

from fastapi import Request, Response

from diracx_api.deps import Db, Me, ReadDb, Router
from diracx_api.models import pilot_tokens as models
from diracx_api.routes.auth import NO_STORE
from diracx_tasks.auth import rights
from diracx_tasks.pilots import secrets, tries

router = Router("pilots", "/api/pilots")
SMALL = 1 << 14


@router.post("/token", right=rights.pilot_secret, response_model=models.PilotToken, max_body_size=SMALL)
def exchange_pilot_secret(
    db: Db, request: Request, response: Response, body: models.SecretExchange
) -> models.PilotToken:
    """Exchange the secret that a pilot was submitted with for its first token: once.

    Until 15 minutes later the same nonce gets another one, should the answer be lost.
    """
    address = request.client.host if request.client else ""
    tries.check(address, body.pilot_stamp)
    secret = body.pilot_secret.get_secret_value()
    try:
        found = secrets.exchange(db, body.pilot_stamp, secret, body.nonce, address=address)
    except secrets.WrongSecret:
        tries.note_wrong(address, body.pilot_stamp)
        raise
    return _token(response, found)


@router.post("/token/renew", right=rights.pilot, response_model=models.PilotToken, max_body_size=SMALL)
def renew_pilot_token(db: ReadDb, me: Me, response: Response) -> models.PilotToken:
    """Give a pilot that began with a secret a new token, until it has ended or its time is over."""
    return _token(response, secrets.renew(db, me))


@router.post("/secrets", right=rights.operate, status_code=201, response_model=list[models.PilotCredentials])
def create_pilot_secrets(db: Db, me: Me, response: Response, body: models.SecretsWanted) -> Any:
    """Make secrets for registered pilots of your VO that you submit yourself; earlier ones hold no more."""
    response.headers.update(NO_STORE)
    seconds, wall = body.expires_in, body.wall_seconds
    found = secrets.give_to_others(db, me.vo, body.pilot_stamps, seconds=seconds, wall_seconds=wall)
    return [{"pilot_stamp": stamp, "pilot_secret": secret} for stamp, secret in found.items()]


def _token(response: Response, found: secrets.Token) -> models.PilotToken:
    response.headers.update(NO_STORE)
    return models.PilotToken(access_token=found.access_token, expires_in=found.seconds, token_type="Bearer")
