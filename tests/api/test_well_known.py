"""The four documents under /.well-known: for everybody, and without a database."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from azure.core.exceptions import ResourceNotModifiedError
from diracx.client.sync import SyncDiracClient
from joserfc import jwt
from joserfc.jwk import KeySet

from diracx_tasks.core import config
from tests.api.caller import Api
from tests.api.configured import a_repository, configured
from tests.api.served import served
from tests.builders import Installation, a_user, bearer
from tests.unit.core.documents import SMALL

WELL_KNOWN = "/.well-known"


@pytest.fixture(autouse=True)
def source(api: Api, installation: Installation, tmp_path: Path) -> Iterator[str]:
    """The address of the configuration; the database is away."""
    url = f"git+file://{a_repository(tmp_path).folder}"
    with configured(installation, url, DIRACX_DATABASE_URL="sqlite:////nowhere/at.all"):
        yield url


def document(api: Api, name: str, **headers: str) -> Any:
    answer = api.get(f"{WELL_KNOWN}/{name}", by=None, headers=headers)
    assert answer.status_code == 200 and "public" in answer.headers["Cache-Control"]
    return answer.json()


def test_a_client_finds_every_address_below_the_one_that_it_used(api: Api) -> None:
    found = document(api, "openid-configuration", Host="diracx.example.org:8443")
    root = "http://diracx.example.org:8443"
    assert {key: value for key, value in found.items() if isinstance(value, str)} == {
        "issuer": "https://diracx.example.org",
        "token_endpoint": f"{root}/api/auth/token",
        "userinfo_endpoint": f"{root}/api/auth/userinfo",
        "authorization_endpoint": f"{root}/api/auth/authorize",
        "device_authorization_endpoint": f"{root}/api/auth/device",
        "revocation_endpoint": f"{root}/api/auth/revoke",
        "jwks_uri": f"{root}/.well-known/jwks.json",
    }


def test_every_address_of_the_discovery_document_is_a_route(api: Api) -> None:
    found = document(api, "openid-configuration")
    addresses = [value for key, value in found.items() if key.endswith(("endpoint", "uri"))]
    assert len(addresses) == 6
    for address in addresses:
        assert api.ask("DELETE", address.removeprefix("http://testserver"), by=None).status_code == 405


def test_the_discovery_document_says_what_may_be_asked_for(api: Api) -> None:
    found = document(api, "openid-configuration")
    device = "urn:ietf:params:oauth:grant-type:device_code"
    assert found["grant_types_supported"] == ["authorization_code", device, "refresh_token"]
    assert found["response_types_supported"] == ["code"]
    assert found["token_endpoint_auth_signing_alg_values_supported"] == ["RS256", "Ed25519"]
    assert found["token_endpoint_auth_methods_supported"] == ["none"]
    assert found["code_challenge_methods_supported"] == ["S256"]
    scopes = found["scopes_supported"]
    assert scopes[:5] == ["vo:belle", "vo:lhcb", "group:lhcb_pilot", "group:lhcb_user", "group:user"]
    assert "property:NormalUser" in scopes and len(scopes) == 5 + 23


def test_the_metadata_name_vos_groups_and_whom_to_ask(api: Api) -> None:
    found = document(api, "dirac-metadata")["virtual_organizations"]
    assert list(found) == ["belle", "lhcb"]
    assert found["lhcb"] == {
        "groups": {
            "lhcb_pilot": {"properties": ["GenericPilot", "LimitedDelegation"]},
            "lhcb_user": {"properties": ["NormalUser", "PrivateLimitedDelegation"]},
        },
        "support": {"message": "Ask us", "webpage": "https://help.example.org", "email": "grid@example.org"},
        "default_group": "lhcb_user",
    }
    nobody = {"message": "Please contact system administrator", "webpage": None, "email": None}
    assert found["belle"]["support"] == nobody


def test_a_token_can_be_verified_with_the_public_keys_which_hold_no_secret(api: Api) -> None:
    found = document(api, "jwks.json")
    token = bearer(a_user())["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, KeySet.import_key_set(found), algorithms=["Ed25519"]).claims
    assert claims["preferred_username"] == "alice"
    (key,) = found["keys"]
    assert key.keys() == {"kty", "crv", "x", "kid", "alg", "key_ops"}


def test_the_security_contact_is_text_for_people_and_not_expired(api: Api) -> None:
    answer = api.get(f"{WELL_KNOWN}/security.txt", by=None)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Vary"].startswith("Accept")
    contact, expires, canonical = answer.text.splitlines()
    assert contact == "Contact: mailto:grid@example.org"
    until = datetime.fromisoformat(expires.removeprefix("Expires: "))
    assert timedelta(30) < until - datetime.now(UTC) < timedelta(365)
    assert canonical == "Canonical: https://diracx.example.org/.well-known/security.txt"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"),
        ("text/plain;q=0.5, Application/JSON; q=0.9", "application/json"),
        ("application/json, */*;q=0.1", "application/json"),
        ("application/json;q=0.5, text/plain", "text/plain"),
        ("application/json;q=0.5, text/*", "text/plain"),
        ("application/json;q=x", "text/plain"),
        ("text/html,*/*;q=0.8", "text/plain"),
        ("*/*", "text/plain"),
        (";;,", "text/plain"),
    ],
)
def test_the_security_contact_is_json_for_clients_that_want_json(api: Api, accept: str, kind: str) -> None:
    answer = api.get(f"{WELL_KNOWN}/security.txt", by=None, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(kind)
    text = json.loads(answer.text) if kind == "application/json" else answer.text
    assert text.startswith("Contact: mailto:grid@example.org\nExpires: ")


def test_the_setting_goes_over_the_support_of_the_vos(
    api: Api, installation: Installation, source: str
) -> None:
    with configured(installation, source, DIRACX_SECURITY_CONTACT="mailto:security@example.org"):
        text = api.get(f"{WELL_KNOWN}/security.txt", by=None).text
    assert text.startswith("Contact: mailto:security@example.org\nExpires")


def test_with_nobody_to_tell_there_is_no_security_contact(
    api: Api, installation: Installation, tmp_path: Path
) -> None:
    (tmp_path / "small.yml").write_text(SMALL)
    with configured(installation, str(tmp_path / "small.yml")):
        answer = api.get(f"{WELL_KNOWN}/security.txt", by=None)
    assert answer.status_code == 404 and "DIRACX_SECURITY_CONTACT" in answer.json()["detail"]


@pytest.mark.integration
def test_the_official_client_reads_all_of_it(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with served() as url:
        monkeypatch.setenv("DIRACX_URL", url)
        with SyncDiracClient() as client:
            assert client.well_known.get_security_txt().startswith("Contact: mailto:grid@example.org\n")
            vos = client.well_known.get_installation_metadata().virtual_organizations
            assert vos["lhcb"].groups["lhcb_user"].properties == ["NormalUser", "PrivateLimitedDelegation"]
            assert client.well_known.get_jwks()["keys"][0]["kty"] == "OKP"
            found = client.well_known.get_openid_configuration()
            assert found.token_endpoint == f"{url}/api/auth/token"
            token = bearer(a_user())
            assert list(client.config.serve_config(headers=token)["Registry"]) == ["lhcb"]
            etag = config.version()
            with pytest.raises(ResourceNotModifiedError):
                client.config.serve_config(headers={**token, "If-None-Match": etag})


@pytest.mark.integration
def test_behind_a_proxy_the_addresses_are_those_of_the_proxy(source: str) -> None:
    with served() as url:
        headers = {"Host": "grid.example.org", "X-Forwarded-Proto": "https"}
        found = urllib3.request("GET", f"{url}{WELL_KNOWN}/openid-configuration", headers=headers).json()
    assert found["token_endpoint"] == "https://grid.example.org/api/auth/token"
