"""Providers that are away, lie, or change their keys: nobody gets in, and the words say why."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc.jwk import OctKey, RSAKey

from diracx_tasks.auth import providers
from tests.builders import Installation
from tests.logins import Logins, Page, configuration, serving
from tests.provider import CLIENT, new_key
from tests.servers import free_port


@pytest.fixture
def logins(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Logins]:
    """A server that asks a provider again at once."""
    monkeypatch.setattr(providers, "PAUSE_SECONDS", 0)
    with serving(installation) as found:
        yield found


def outcome(logins: Logins, where: str = "device") -> tuple[int, str]:
    """What a browser gets that comes back from the provider."""
    codes = logins.begin()
    answer = logins.confirm(codes) if where == "device" else logins.browse(Page().address)
    if answer.status_code in (303, 307):
        return logins.collect(codes).status_code, ""
    return answer.status_code, answer.json()["detail"]


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://elsewhere.example.org"},
        {"iss": ...},
        {"aud": "another-client"},
        {"aud": ["another-client"]},
        {"aud": ...},
        {"aud": [CLIENT, "another-client"], "azp": "another-client"},
        {"exp": int(time.time()) - 120},
        {"exp": ...},
        {"iat": ...},
        {"iat": int(time.time()) + 86_400},
        {"nbf": int(time.time()) + 86_400},
        {"sub": ...},
        {"sub": ""},
        {"sub": 7},
    ],
    ids=range(14),
)
@pytest.mark.parametrize("where", ["device", "page"])
def test_an_id_token_with_wrong_claims_lets_nobody_in(
    logins: Logins, claims: dict[str, Any], where: str
) -> None:
    logins.provider.claims = claims
    status, words = outcome(logins, where)
    assert status == 401 and words.startswith("Invalid id_token")


def test_an_id_token_for_us_among_others_is_good(logins: Logins) -> None:
    logins.provider.claims = {"aud": [CLIENT, "another-client"], "azp": CLIENT}
    assert outcome(logins)[0] == 200


def test_nobody_signs_for_the_provider(logins: Logins) -> None:
    public = OctKey.import_key(json.dumps(logins.provider.key.as_dict(private=False)))
    forged: list[tuple[Any, dict[str, Any]]] = [
        (RSAKey.generate_key(2048), {}),
        (public, {"alg": "HS256"}),
        (RSAKey.generate_key(2048), {"kid": "unknown"}),
        (RSAKey.generate_key(2048), {"jku": f"{logins.provider.url}/keys"}),
    ]
    for logins.provider.signer, logins.provider.header in forged:
        status, words = outcome(logins)
        assert status == 401 and words.startswith("Invalid id_token"), (logins.provider.header, words)


def test_an_unsigned_id_token_is_none(logins: Logins, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = logins.provider.id_token("subject-of-alice").split(".")
    unsigned = f"eyJhbGciOiJub25lIn0.{signed[1]}."
    monkeypatch.setattr(logins.provider, "id_token", lambda subject: unsigned)
    assert outcome(logins)[0] == 401


def test_new_keys_of_the_provider_are_fetched_when_they_are_needed(logins: Logins) -> None:
    assert outcome(logins)[0] == 200
    asked = logins.provider.asked.count("/keys")
    assert outcome(logins)[0] == 200
    assert logins.provider.asked.count("/keys") == asked
    logins.provider.key = new_key()
    assert outcome(logins)[0] == 200
    assert logins.provider.asked.count("/keys") == asked + 1
    assert logins.provider.asked.count("/.well-known/openid-configuration") == 1


@pytest.mark.parametrize("status", [301, 302, 404, 500, 503])
def test_a_provider_that_is_away_is_502_and_not_followed_elsewhere(logins: Logins, status: int) -> None:
    logins.provider.away = status
    codes = logins.begin()
    answer = logins.get(codes["verification_uri_complete"])
    assert answer.status_code == 502
    assert answer.json()["detail"].startswith("Failed to contact IAM server")
    assert set(logins.provider.asked) == {"/.well-known/openid-configuration"}
    logins.provider.away = 0
    assert logins.confirm(codes).status_code == 303


def test_what_a_provider_said_before_holds_while_it_is_away(
    logins: Logins, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = logins.begin()
    assert logins.get(codes["verification_uri_complete"]).status_code == 307
    monkeypatch.setattr(providers, "KNOWN_SECONDS", 0)
    logins.provider.away = 503
    assert logins.get(codes["verification_uri_complete"]).status_code == 307
    assert logins.provider.asked.count("/.well-known/openid-configuration") == 2


def test_keys_that_a_provider_had_before_hold_while_it_does_not_give_them(
    logins: Logins, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outcome(logins)[0] == 200
    known = providers._PROVIDERS[logins.provider.url]
    known.asked_keys = float("-inf")
    logins.provider.metadata = {"jwks_uri": f"{logins.provider.url}/gone"}
    known.metadata = logins.provider.described()
    monkeypatch.setattr(providers, "PAUSE_SECONDS", 60)
    for _ in range(2):
        assert outcome(logins)[0] == 200
    assert logins.provider.asked.count("/gone") == 1
    logins.provider.key = new_key()
    status, words = outcome(logins)
    assert status == 502 and words.startswith("Failed to contact IAM server")


@pytest.mark.parametrize("status, ours", [(302, 502), (400, 401), (401, 401), (429, 502), (500, 502)])
def test_a_provider_that_does_not_take_its_code_back(logins: Logins, status: int, ours: int) -> None:
    codes = logins.begin()
    sent = logins.get(codes["verification_uri_complete"])
    back = f"/api/auth/device/complete?code=x&state={sent.headers['Location'].rpartition('state=')[2]}"
    logins.provider.away = status
    answer = logins.get(back)
    assert answer.status_code == ours
    assert answer.json()["detail"].startswith("Failed to contact IAM" if ours == 502 else "Invalid code")
    assert logins.collect(codes).json() == {"error": "authorization_pending"}


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://elsewhere.example.org"},
        {"token_endpoint": None},
        {"token_endpoint": "file:///etc/passwd"},
        {"jwks_uri": "gopher://127.0.0.1/"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": "/keys"},
    ],
    ids=str,
)
def test_a_provider_that_describes_itself_wrongly_is_not_believed(
    logins: Logins, metadata: dict[str, Any]
) -> None:
    logins.provider.metadata = metadata
    answer = logins.get(logins.begin()["verification_uri_complete"])
    assert answer.status_code == 502 and next(iter(metadata)) in answer.json()["detail"]


def test_a_provider_that_is_not_there_is_asked_once_in_a_while(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(installation) as logins:
        logins.provider.away = 503
        for _ in range(3):
            assert logins.get(logins.begin()["verification_uri_complete"]).status_code == 502
        assert len(logins.provider.asked) == 1
        logins.file.write_text(configuration(f"http://127.0.0.1:{free_port()}"))
        monkeypatch.setattr("diracx_tasks.core.config.CHECK_SECONDS", 0.0)
        answer = logins.get(logins.begin()["verification_uri_complete"])
        assert (answer.status_code, answer.json()["detail"]) == (502, "Failed to contact IAM server")


def test_an_answer_from_elsewhere_does_not_work_twice(logins: Logins) -> None:
    codes = logins.begin()
    assert logins.confirm(codes).status_code == 303
    state = (
        logins.get(logins.begin()["verification_uri_complete"]).headers["Location"].rpartition("state=")[2]
    )
    answer = logins.get(f"/api/auth/device/complete?code=stolen&state={state}")
    assert (answer.status_code, answer.json()["detail"]) == (401, "Invalid code")
    nothing = logins.get(f"/api/auth/device/complete?state={state}")
    assert nothing.json()["detail"] == "the provider gave neither a code nor an error"
