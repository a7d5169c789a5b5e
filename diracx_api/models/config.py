"""What everybody may know of an installation; names and shapes are DiracX's."""

from typing import Any

from pydantic import BaseModel

from diracx_api.models.fields import stated
from diracx_tasks.core.document import Config
from diracx_tasks.core.registry import PROPERTIES, described

GRANTS = ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]
ROOT = "https://diracx.example.org"


class GroupInfo(BaseModel):
    """A group of a VO."""

    properties: list[str] = stated("What its members may do.", ["NormalUser"])


class SupportInfo(BaseModel):
    """Whom the VO's users may ask."""

    message: str = stated("In words.", "Please contact system administrator")
    webpage: str | None = stated("A page with help.", "https://help.example.org")
    email: str | None = stated("An address.", "grid-support@example.org")


class VOInfo(BaseModel):
    """What a login of a VO can ask for, and whom to ask when it does not work."""

    groups: dict[str, GroupInfo] = stated("By their names.", {"user": {"properties": ["NormalUser"]}})
    support: SupportInfo = stated("Where its users get help.", {"message": "Ask us"})
    default_group: str = stated("The group of a login that asks for none.", "user")


class Metadata(BaseModel):
    """The VOs of an installation."""

    virtual_organizations: dict[str, VOInfo] = stated("By their names.", {"lhcb": {"default_group": "user"}})

    @classmethod
    def of(cls, found: Config) -> "Metadata":
        """What a configuration says of its VOs."""
        vos = {vo: VOInfo(**described(found.Registry[vo])) for vo in sorted(found.Registry)}
        return cls(virtual_organizations=vos)


class OpenIDConfiguration(BaseModel):
    """OpenID Connect's discovery document (OpenID Connect Discovery 1.0, section 3)."""

    issuer: str = stated("The `iss` of our tokens.", ROOT)
    token_endpoint: str = stated("Where tokens are given.", f"{ROOT}/api/auth/token")
    userinfo_endpoint: str = stated("Where a token says whose it is.", f"{ROOT}/api/auth/userinfo")
    authorization_endpoint: str = stated("Where a page sends its user.", f"{ROOT}/api/auth/authorize")
    device_authorization_endpoint: str = stated("Where a device begins.", f"{ROOT}/api/auth/device")
    revocation_endpoint: str = stated("Where refresh tokens are revoked.", f"{ROOT}/api/auth/revoke")
    jwks_uri: str = stated("The keys that tokens are verified with.", f"{ROOT}/.well-known/jwks.json")
    grant_types_supported: list[str] = stated("How tokens are got.", GRANTS)
    scopes_supported: list[str] = stated("What may be asked for.", ["vo:lhcb", "group:user"])
    response_types_supported: list[str] = stated("What a login returns.", ["code"])
    token_endpoint_auth_signing_alg_values_supported: list[str] = stated(
        "What tokens are signed with.", ["RS256", "Ed25519"]
    )
    token_endpoint_auth_methods_supported: list[str] = stated("Clients have no secret.", ["none"])
    code_challenge_methods_supported: list[str] = stated("How codes are bound to who asked.", ["S256"])

    @classmethod
    def of(cls, found: Config, *, issuer: str, root: str) -> "OpenIDConfiguration":
        """The document of an installation that is reached at `root`."""
        here = f"{root}/api/auth"
        return cls(
            issuer=issuer,
            token_endpoint=f"{here}/token",
            userinfo_endpoint=f"{here}/userinfo",
            authorization_endpoint=f"{here}/authorize",
            device_authorization_endpoint=f"{here}/device",
            revocation_endpoint=f"{here}/revoke",
            jwks_uri=f"{root}/.well-known/jwks.json",
            grant_types_supported=GRANTS,
            scopes_supported=_scopes(found),
            response_types_supported=["code"],
            token_endpoint_auth_signing_alg_values_supported=["RS256", "Ed25519"],
            token_endpoint_auth_methods_supported=["none"],
            code_challenge_methods_supported=["S256"],
        )


def contacts(found: Config, stated_contact: str) -> list[str]:
    """Whom to tell of a weakness: the setting, else the support of each VO."""
    if stated_contact:
        return [stated_contact]
    supports = [found.Registry[vo].Support for vo in sorted(found.Registry)]
    addresses: list[Any] = [f"mailto:{one.Email}" if one.Email else one.Webpage for one in supports]
    return list(dict.fromkeys(address for address in addresses if address))


def _scopes(found: Config) -> list[str]:
    groups = {group for vo in found.Registry.values() for group in vo.Groups}
    names = (("vo", found.Registry), ("group", groups), ("property", PROPERTIES))
    return [f"{kind}:{name}" for kind, known in names for name in sorted(known)]
