"""What goes in and comes out of the routes about pilots' secrets and tokens."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, SecretStr, StringConstraints

from diracx_api.models.fields import stated
from diracx_api.models.pilots import Stamp

DAY = 86400
Nonce = Annotated[str, StringConstraints(min_length=16, max_length=128, pattern="^[!-~]+$")]


class SecretExchange(BaseModel):
    """A pilot begins."""

    model_config = ConfigDict(extra="forbid")

    pilot_stamp: Stamp = stated("The pilot's stamp.", "0f3c9a")
    pilot_secret: SecretStr = stated("The secret that it was submitted with.", "k3y…", max_length=256)
    nonce: Nonce = stated(
        "Random, made by the pilot: only with the same one a secret may be used again, for some minutes.",
        "1d2a6f0be3c44c55",
    )


class PilotToken(BaseModel):
    """An access token of a pilot."""

    access_token: str = stated("Who the pilot is.", "eyJ0eXAi…")
    expires_in: int = stated("Seconds that the token lives.", 3600)
    token_type: str = stated("How it is sent.", "Bearer", default="Bearer")


class SecretsWanted(BaseModel):
    """Pilots that somebody else submits and that need secrets."""

    model_config = ConfigDict(extra="forbid")

    pilot_stamps: list[Stamp] = stated(
        "Stamps of registered pilots of your VO.", ["0f3c9a"], min_length=1, max_length=1000
    )
    expires_in: int | None = stated(
        "Seconds within which each may begin; `SecretSeconds` of the VO by default.",
        DAY,
        default=None,
        ge=60,
        le=30 * DAY,
    )
    wall_seconds: int | None = stated(
        "Seconds for which each may run; `PilotSeconds` of the VO by default.",
        2 * DAY,
        default=None,
        ge=60,
        le=90 * DAY,
    )


class PilotCredentials(BaseModel):
    """What one pilot begins with. It is shown once."""

    pilot_stamp: str = stated("The pilot's stamp.", "0f3c9a")
    pilot_secret: str = stated("The secret, for DIRACX_PILOT_SECRET.", "k3y…")
