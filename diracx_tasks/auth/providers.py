"""A VO's OpenID Connect provider, whose public client we are: where to log in, and who has."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry

from diracx_tasks.auth import outside
from diracx_tasks.auth.outside import ProviderAway
from diracx_tasks.core.errors import BadRequest, Unauthenticated
from diracx_tasks.core.registry import Provider, VirtualOrganization

SCOPE = "openid profile"
KNOWN_SECONDS = 3600
# A provider that was away is not asked again for so long; nor for keys that it has just not had.
PAUSE_SECONDS = 5
WAIT_SECONDS = 2
LEEWAY = 60
# With keys only the provider has: never HS256, which its public key would do for.
RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES = ("ES256", "ES384", "ES512", "EdDSA", "Ed25519")
ALGORITHMS = frozenset((*RSA, *CURVES))
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass
class _Known:
    """What a provider says of itself, and when it was asked."""

    metadata: dict[str, Any] = field(default_factory=dict)
    keys: KeySet | None = None
    asked: float = float("-inf")
    asked_keys: float = float("-inf")
    failed: float = float("-inf")
    failed_keys: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)


_PROVIDERS: dict[str, _Known] = {}


def provider_of(vo: str, registry: VirtualOrganization) -> Provider:
    """The VO's provider; BadRequest when it has none."""
    if registry.IdP is None:
        raise BadRequest(f"nobody can log in to {vo}: the configuration states no Registry.{vo}.IdP")
    return registry.IdP


def must_answer(provider: Provider) -> None:
    """ProviderAway unless the provider answers, or has done so not long ago."""
    _metadata(provider)


def login_url(provider: Provider, *, redirect_uri: str, state: str, verifier: str) -> str:
    """Where to send the browser; ProviderAway when that cannot be found out."""
    url: str = prepare_grant_uri(
        _metadata(provider)["authorization_endpoint"],
        client_id=provider.ClientID,
        response_type="code",
        redirect_uri=redirect_uri,
        scope=SCOPE,
        state=state,
        code_challenge=create_s256_code_challenge(verifier),
        code_challenge_method="S256",
    )
    return url


def subject_of(provider: Provider, code: str, *, verifier: str, redirect_uri: str) -> str:
    """Whose code it is, by the provider's id_token; Unauthenticated when either does not hold."""
    answer = outside.post(
        _metadata(provider)["token_endpoint"],
        {
            "grant_type": "authorization_code",
            "client_id": provider.ClientID,
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": redirect_uri,
        },
    )
    if answer is None:
        raise Unauthenticated("Invalid code")
    if not isinstance(token := answer.get("id_token"), str):
        raise ProviderAway("Failed to contact IAM server: it gave no id_token")
    return _verified(provider, token)


def _verified(provider: Provider, token: str) -> str:
    metadata = _metadata(provider)
    stated = metadata.get("id_token_signing_alg_values_supported")
    algorithms = sorted(ALGORITHMS.intersection(stated if isinstance(stated, list) else ["RS256"]))
    try:
        claims = _decoded(provider, token, algorithms)
        JWTClaimsRegistry(
            leeway=LEEWAY,
            iss={"essential": True, "value": metadata["issuer"]},
            aud={"essential": True, "value": provider.ClientID},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        ).validate(claims)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise Unauthenticated(f"Invalid id_token: {error}") from error
    if claims.get("azp", provider.ClientID) != provider.ClientID or not isinstance(claims["sub"], str):
        raise Unauthenticated("Invalid id_token: it is for another client")
    return claims["sub"]


def _decoded(provider: Provider, token: str, algorithms: list[str]) -> dict[str, Any]:
    keys = _keys(provider, after=time.monotonic() - KNOWN_SECONDS, or_older=True)
    try:
        return jwt.decode(token, keys, algorithms=algorithms).claims
    except (InvalidKeyIdError, ValueError):
        # The provider may have new keys.
        fresh = _keys(provider, after=time.monotonic() - PAUSE_SECONDS)
        return jwt.decode(token, fresh, algorithms=algorithms).claims


def _metadata(provider: Provider) -> dict[str, Any]:
    """What the provider says of itself; what it said before while it is away."""
    known = _PROVIDERS.setdefault(provider.URL, _Known())
    if time.monotonic() < known.asked + KNOWN_SECONDS:
        return known.metadata
    with _asking(known):
        now = time.monotonic()
        if now < known.asked + KNOWN_SECONDS:
            return known.metadata
        if now < known.failed + PAUSE_SECONDS:
            return _old(known)
        try:
            found = outside.get(f"{provider.URL.rstrip('/')}/.well-known/openid-configuration")
            _check(provider, found)
        except ProviderAway:
            known.failed = time.monotonic()
            if known.metadata:
                return known.metadata
            raise
        known.metadata, known.asked = found, time.monotonic()
        return found


def _old(known: _Known) -> dict[str, Any]:
    if not known.metadata:
        raise ProviderAway("Failed to contact IAM server")
    return known.metadata


def _keys(provider: Provider, *, after: float, or_older: bool = False) -> KeySet:
    """The provider's keys, not older than that; `or_older`: those it had before while it is away."""
    address = _metadata(provider)["jwks_uri"]
    known = _PROVIDERS[provider.URL]
    with _asking(known):
        if known.keys is not None and known.asked_keys >= after:
            return known.keys
        old = known.keys if or_older else None
        if old is not None and time.monotonic() < known.failed_keys + PAUSE_SECONDS:
            return old
        try:
            known.keys = _fetched(address)
        except ProviderAway:
            known.failed_keys = time.monotonic()
            if old is not None:
                return old
            raise
        known.asked_keys = time.monotonic()
        return known.keys


def _fetched(address: str) -> KeySet:
    try:
        return KeySet.import_key_set(_importable(outside.get(address)))
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ProviderAway(f"Failed to contact IAM server: its keys are unusable: {error}") from error


@contextmanager
def _asking(known: _Known) -> Iterator[None]:
    """One at a time asks a provider; others wait for the answer, not for long: they hold a thread each."""
    if not known.lock.acquire(timeout=WAIT_SECONDS):
        raise ProviderAway("Failed to contact IAM server")
    try:
        yield
    finally:
        known.lock.release()


def _importable(found: dict[str, Any]) -> Any:
    """Its keys that can verify signatures: others may be of kinds that we do not know."""
    kinds = ("RSA", "EC", "OKP")
    return {"keys": [key for key in found["keys"] if key["kty"] in kinds and key.get("use", "sig") == "sig"]}


def _check(provider: Provider, found: dict[str, Any]) -> None:
    """What OpenID Connect Discovery 4.3 wants: it speaks for itself, and over TLS if it is reached so."""
    if str(found.get("issuer")).rstrip("/") != provider.URL.rstrip("/"):
        raise ProviderAway(f"Failed to contact IAM server: its issuer is {found.get('issuer')!r}")
    for name in ENDPOINTS:
        address = urlsplit(str(found.get(name, "")))
        if not address.hostname or address.scheme not in ("https", urlsplit(provider.URL).scheme):
            raise ProviderAway(f"Failed to contact IAM server: its {name} is {found.get(name)!r}")
