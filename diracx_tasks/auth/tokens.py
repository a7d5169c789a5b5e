"""Access tokens: who somebody is, in DiracX's claims, signed with Ed25519."""

import time
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry
from uuid_utils import uuid7

from diracx_tasks.auth.keys import key_set, signing_key
from diracx_tasks.core.errors import Unauthenticated
from diracx_tasks.core.settings import settings

# "Ed25519" is RFC 9864's name of what older libraries call EdDSA.
ALGORITHMS = ["Ed25519", "RS256"]
PILOT = "GenericPilot"
# No token lives longer; a key that has signed is kept for so long.
MOST_SECONDS = 31 * 86400
KNOWN_SECONDS = 60
MOST_KNOWN = 10_000


@dataclass(frozen=True)
class User:
    """Who asks: a person in one of his groups, or a pilot."""

    name: str
    group: str
    vo: str
    subject: str
    properties: frozenset[str] = field(default_factory=frozenset)
    pilot_stamp: str | None = None


@dataclass(frozen=True)
class _Known:
    """A token that was verified: with which keys, for which issuer, and until when that counts."""

    user: User
    keys: KeySet
    issuer: str
    until: float


_KNOWN: dict[str, _Known] = {}


def issue(user: User, *, seconds: float) -> str:
    """A signed access token for a user."""
    claims: dict[str, Any] = {
        "sub": f"{user.vo}:{user.subject}",
        "vo": user.vo,
        "iss": settings().issuer,
        "preferred_username": user.name,
        "dirac_group": user.group,
        "dirac_properties": sorted(user.properties),
    }
    if user.pilot_stamp:
        claims["pilot_stamp"] = user.pilot_stamp
    return sign(claims, str(uuid7()), int(time.time() + seconds))


def sign(claims: dict[str, Any], jti: str, exp: int) -> str:
    """A token with these claims, signed by the key that signs now."""
    key = signing_key()
    header = {"typ": "JWT", "alg": "Ed25519", "kid": key.kid}
    content = {"jti": jti, "exp": exp, **claims, "dirac_policies": {}}
    return jwt.encode(header, content, key, algorithms=ALGORITHMS)


def issue_pilot(vo: str, stamp: str, *, seconds: float) -> str:
    """A token with which a pilot of a VO matches jobs and reports on those it holds."""
    pilot = User("pilot", "pilot", vo, f"pilot-{stamp}", frozenset({PILOT}), stamp)
    return issue(pilot, seconds=seconds)


def verify(token: str) -> User:
    """Whose token it is; Unauthenticated when it does not hold.

    One that held is not verified again for a minute, unless the keys change or it expires.
    """
    keys, issuer, now = key_set(), settings().issuer, time.time()
    known = _KNOWN.get(token)
    if known is not None and known.keys is keys and known.issuer == issuer and now < known.until:
        return known.user
    try:
        claims = jwt.decode(token, keys, algorithms=ALGORITHMS).claims
        _REGISTRY.validate(claims)
        if claims["iss"] != issuer or claims["exp"] > now + MOST_SECONDS:
            raise Unauthenticated("Invalid JWT")
        user = _user(claims)
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unauthenticated("Invalid JWT") from error
    if len(_KNOWN) >= MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN[token] = _Known(user, keys, issuer, min(claims["exp"], now + KNOWN_SECONDS))
    return user


def _user(claims: dict[str, Any]) -> User:
    stated = ("preferred_username", "dirac_group", "vo", "sub", "pilot_stamp")
    name, group, vo, subject, stamp = _texts([claims.get(one, "") for one in stated])
    if not (name and group and vo and subject):
        raise ValueError("a claim is missing")
    properties = frozenset(_texts(claims["dirac_properties"]))
    return User(name, group, vo, subject.partition(":")[2], properties, stamp or None)


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ValueError("a list of texts is wanted")
    return value


_REGISTRY = JWTClaimsRegistry(exp={"essential": True}, iss={"essential": True}, sub={"essential": True})
