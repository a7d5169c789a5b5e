"""Access tokens: only those that we signed, for us, for a while, with everything in them."""

import base64
import json
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey, RSAKey

from diracx_tasks.auth import keys, tokens
from diracx_tasks.auth.rights import must_own
from diracx_tasks.core.errors import Forbidden, SettingsError, Unauthenticated
from diracx_tasks.core.settings import settings
from tests.builders import Installation, a_pilot, a_user, an_administrator, environment

ALGORITHMS = ["Ed25519", "RS256", "HS256"]


def claims(**changed: Any) -> dict[str, Any]:
    found = {
        "sub": "lhcb:alice",
        "vo": "lhcb",
        "iss": settings().issuer,
        "exp": int(time.time()) + 60,
        "preferred_username": "alice",
        "dirac_group": "user",
        "dirac_properties": ["NormalUser"],
        **changed,
    }
    return {name: value for name, value in found.items() if value is not ...}


def signed(content: dict[str, Any], key: Any = None, **header: Any) -> str:
    signer = key or keys.signing_key()
    head = {"alg": "Ed25519", "kid": keys.signing_key().kid, **header}
    return jwt.encode(head, content, signer, algorithms=ALGORITHMS)


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_what_is_issued_is_verified_as_the_same_user(installation: Installation) -> None:
    for user in (a_user(), an_administrator(), a_pilot()):
        assert tokens.verify(tokens.issue(user, seconds=60)) == user


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": ...},
        {"exp": 1},
        {"exp": "tomorrow"},
        {"exp": None},
        {"iss": ...},
        {"iss": "https://elsewhere"},
        {"iss": ["http://testserver"]},
        {"sub": ...},
        {"sub": 7},
        {"vo": ...},
        {"vo": ["lhcb"]},
        {"vo": 7},
        {"preferred_username": ...},
        {"preferred_username": {"a": 1}},
        {"dirac_group": None},
        {"dirac_properties": ...},
        {"dirac_properties": "JobAdministrator"},
        {"dirac_properties": {"JobAdministrator": 1}},
        {"dirac_properties": [["JobAdministrator"]]},
        {"pilot_stamp": 7},
        {"nbf": 10**11},
    ],
    ids=str,
)
def test_a_signed_token_with_wrong_claims_does_not_hold(
    installation: Installation, changed: dict[str, Any]
) -> None:
    with pytest.raises(Unauthenticated, match="Invalid JWT"):
        tokens.verify(signed(claims(**changed)))


def test_nobody_signs_without_our_key(installation: Installation) -> None:
    public = json.dumps(keys.signing_key().as_dict(private=False))
    forged = [
        f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims())}.",
        f"{part({'alg': 'None', 'kid': keys.signing_key().kid})}.{part(claims())}.",
        signed(claims(), OKPKey.generate_key("Ed25519")),
        signed(claims(), OctKey.import_key(public), alg="HS256"),
        signed(claims(), RSAKey.generate_key(2048), alg="RS256"),
        signed(claims(), OKPKey.generate_key("Ed25519"), kid="unknown"),
        signed(claims(), OKPKey.generate_key("Ed25519"), jku="http://127.0.0.1:1/keys"),
    ]
    for token in forged:
        with pytest.raises(Unauthenticated, match="Invalid JWT"):
            tokens.verify(token)


@pytest.mark.parametrize(
    "token", ["", ".", "..", "x.y.z", "a" * 100_000, "é.é.é", "\0", "a.b.c.d.e", "{}"], ids=range(9)
)
def test_what_is_no_token_does_not_hold(installation: Installation, token: str) -> None:
    with pytest.raises(Unauthenticated, match="Invalid JWT"):
        tokens.verify(token)


def test_a_changed_part_breaks_the_signature(installation: Installation) -> None:
    head, body, signature = tokens.issue(a_user(), seconds=60).split(".")
    other = part(claims(dirac_properties=["JobAdministrator"]))
    for token in (f"{head}.{other}.{signature}", f"{head}.{body}.{signature[:-4]}AAAA", f"{head}.{body}"):
        with pytest.raises(Unauthenticated):
            tokens.verify(token)


def test_a_thing_belongs_to_its_owner_and_the_administrators_of_its_vo() -> None:
    for user in (a_user(), an_administrator()):
        must_own(user, owner="alice", vo="lhcb", what="job 1")
    for user in (a_user("bob"), a_user(vo="belle"), an_administrator(vo="belle"), a_pilot()):
        with pytest.raises(Forbidden, match="job 1 belongs to alice of lhcb"):
            must_own(user, owner="alice", vo="lhcb", what="job 1")


def test_keys_are_made_once_and_are_private(installation: Installation) -> None:
    file = settings().keys_file
    before = file.read_text()
    keys.create(file)
    assert file.read_text() == before
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("stated", ["{}", '{"keys": []}', "{", "/does/not/exist"])
def test_without_a_key_that_signs_the_error_says_what_to_set(installation: Installation, stated: str) -> None:
    with (
        environment(DIRACX_DATA=str(installation.folder), DIRACX_TOKEN_KEYS=stated),
        pytest.raises(SettingsError, match="DIRACX_TOKEN_KEYS"),
    ):
        keys.signing_key()
