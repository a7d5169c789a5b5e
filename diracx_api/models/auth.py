"""What logins and tokens look like in the API; names and shapes are DiracX's."""

from typing import Any, Literal

from pydantic import BaseModel

from diracx_api.models.fields import stated
from diracx_tasks.auth.grant import Tokens
from diracx_tasks.auth.sessions import Given
from diracx_tasks.auth.tokens import User

GrantType = Literal["authorization_code", "urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]
# How often a device should ask, in seconds: the official client does so.
INTERVAL = 2


class InitiateDeviceFlowResponse(BaseModel):
    """The codes of a device's login (RFC 8628)."""

    user_code: str = stated("What is shown to people.", "BCDFGHJK")
    device_code: str = stated("What the device asks for its tokens with.", "n5Nl3…")
    verification_uri_complete: str = stated(
        "Where somebody confirms the code.", "https://diracx.example.org/api/auth/device?user_code=BCDFGHJK"
    )
    verification_uri: str = stated("The same without the code.", "https://diracx.example.org/api/auth/device")
    expires_in: int = stated("Seconds until the codes expire.", 600)
    interval: int = stated("How many seconds to wait between two questions.", INTERVAL)


class AuthorizationRequest(BaseModel):
    """What a page asks for when it sends its user here (RFC 6749, 4.1.1; RFC 7636)."""

    response_type: Literal["code"] = stated("Always `code`.", "code")
    code_challenge: str = stated(
        "base64url of the sha256 of the verifier.",
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        pattern=r"^[A-Za-z0-9_-]{43}=?$",
    )
    code_challenge_method: Literal["S256"] = stated("Always `S256`.", "S256")
    client_id: str = stated("The client that asks.", "myDIRACClientID", max_length=255)
    redirect_uri: str = stated(
        "Where to return to.", "https://diracx.example.org/#authentication-callback", max_length=255
    )
    scope: str = stated("A VO, a group, properties.", "vo:lhcb group:lhcb_user", max_length=1024)
    state: str = stated("Given back to the page.", "af0ifjsldkj", max_length=1024)


class ProviderAnswer(BaseModel):
    """What a provider sends back with the browser."""

    state: str = stated("What we gave it.", "gAAAAA…", max_length=8192)
    code: str | None = stated("Who has logged in.", "SplxlOBe", default=None, max_length=4096)
    error: str | None = stated("Why nobody has.", "access_denied", default=None, max_length=255)
    error_description: str = stated(
        "The same in words.", "The user denied the request", default="", max_length=2000
    )


class TokenRequest(BaseModel):
    """The form of a token request (RFC 6749, 4.1.3 and 6; RFC 8628, 3.4)."""

    grant_type: GrantType = stated("OAuth2 grant type.", "refresh_token")
    client_id: str = stated("OAuth2 client id.", "myDIRACClientID", max_length=255)
    device_code: str | None = stated("Of a login on a device.", "n5Nl3…", default=None, max_length=255)
    code: str | None = stated("Of the login of a page.", "SplxlOBe", default=None, max_length=255)
    redirect_uri: str | None = stated("As it was given.", "https://web/", default=None, max_length=255)
    code_verifier: str | None = stated("Of the code_challenge.", "dBjftJe", default=None, max_length=255)
    refresh_token: str | None = stated("Of the tokens before.", "eyJ0eXAi…", default=None, max_length=8192)


class RevokeRequest(BaseModel):
    """The form of a revocation (RFC 7009)."""

    token: str = stated("The refresh token to revoke.", "eyJ0eXAi…", max_length=8192)
    token_type_hint: str | None = stated("What it is.", "refresh_token", default=None, max_length=255)
    client_id: str = stated("Who asks.", "myDIRACClientID", default="myDIRACClientID", max_length=255)


class TokenResponse(BaseModel):
    """Tokens (RFC 6749, 5.1)."""

    access_token: str = stated("Who somebody is, for 20 minutes.", "eyJ0eXAi…")
    expires_in: int = stated("Seconds that the access token lives.", 1200)
    token_type: str = stated("How it is sent.", "Bearer", default="Bearer")
    refresh_token: str | None = stated("Gives the next tokens, once.", "eyJ0eXAi…", default=None)

    @classmethod
    def of(cls, tokens: Tokens) -> "TokenResponse":
        """What was given out, for the wire."""
        return cls(
            access_token=tokens.access,
            expires_in=tokens.seconds,
            token_type="Bearer",
            refresh_token=tokens.refresh,
        )


class UserInfoResponse(BaseModel):
    """Who the token's user is."""

    sub: str = stated("VO and subject at the VO's provider.", "lhcb:b824d4dc")
    vo: str = stated("The VO.", "lhcb")
    dirac_group: str = stated("The group of this token.", "lhcb_user")
    policies: dict[str, Any] = stated("What access policies have added: nothing here.", {})
    properties: list[str] = stated("What the group, and more that was asked for, allows.", ["NormalUser"])
    preferred_username: str = stated("The user's name.", "alice")

    @classmethod
    def of(cls, user: User) -> "UserInfoResponse":
        """What his token says, for the wire."""
        return cls(
            sub=f"{user.vo}:{user.subject}",
            vo=user.vo,
            dirac_group=user.group,
            policies={},
            properties=sorted(user.properties),
            preferred_username=user.name,
        )


class RefreshToken(BaseModel):
    """A login that lasts."""

    JTI: str = stated("The refresh token's id.", "0199c0de-0000-7000-8000-000000000000")
    Status: Literal[1, 2] = stated("1: it holds. 2: it was used or revoked.", 1)
    Scope: str = stated("What was asked for.", "vo:lhcb group:lhcb_user")
    Sub: str = stated("VO and subject of the user.", "lhcb:b824d4dc")

    @classmethod
    def of(cls, given: Given) -> "RefreshToken":
        """A refresh token, for the wire."""
        return cls(JTI=given.jti, Status=2 if given.is_revoked else 1, Scope=given.scope, Sub=given.sub)
