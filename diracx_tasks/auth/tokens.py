"""Access tokens: who somebody is, in DiracX's claims, signed with Ed25519."""

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwt import JWTClaimsRegistry

from diracx_tasks.auth.keys import key_set, signing_key
from diracx_tasks.core.errors import Unauthenticated
from diracx_tasks.core.settings import settings

# "Ed25519" is RFC 9864's name of what older libraries call EdDSA.
ALGORITHMS = ["Ed25519", "RS256"]
PILOT = "GenericPilot"


@dataclass(frozen=True)
class User:
    """Who asks: a person in one of his groups, or a pilot."""

    name: str
    group: str
    vo: str
    subject: str
    properties: frozenset[str] = field(default_factory=frozenset)
    pilot_stamp: str | None = None


def issue(user: User, *, seconds: float) -> str:
    """A signed access token for a user."""
    claims: dict[str, Any] = {
        "jti": str(uuid.uuid4()),
        "sub": f"{user.vo}:{user.subject}",
        "vo": user.vo,
        "iss": settings().issuer,
        "exp": int(time.time() + seconds),
        "preferred_username": user.name,
        "dirac_group": user.group,
        "dirac_properties": sorted(user.properties),
        "dirac_policies": {},
    }
    if user.pilot_stamp:
        claims["pilot_stamp"] = user.pilot_stamp
    key = signing_key()
    return jwt.encode({"typ": "JWT", "alg": "Ed25519", "kid": key.kid}, claims, key, algorithms=ALGORITHMS)


def issue_pilot(vo: str, stamp: str, *, seconds: float) -> str:
    """A token with which a pilot of a VO matches jobs and reports on those it holds."""
    pilot = User("pilot", "pilot", vo, f"pilot-{stamp}", frozenset({PILOT}), stamp)
    return issue(pilot, seconds=seconds)


def verify(token: str) -> User:
    """Whose token it is; Unauthenticated when it does not hold."""
    try:
        claims = jwt.decode(token, key_set(), algorithms=ALGORITHMS).claims
        _REGISTRY.validate(claims)
        if claims["iss"] != settings().issuer:
            raise Unauthenticated("Invalid JWT")
        names = _texts([claims[name] for name in ("preferred_username", "dirac_group", "vo", "sub")])
        stamp = _texts([claims.get("pilot_stamp") or ""])[0]
        name, group, vo, subject = names
        properties = frozenset(_texts(claims["dirac_properties"]))
        return User(name, group, vo, subject.partition(":")[2], properties, stamp or None)
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unauthenticated("Invalid JWT") from error


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ValueError("a list of texts is wanted")
    return value


_REGISTRY = JWTClaimsRegistry(exp={"essential": True}, iss={"essential": True}, sub={"essential": True})
