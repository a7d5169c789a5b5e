"""Logins for tests: a configuration with users and a provider, and what browsers and clients do."""

import base64
import hashlib
import html
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import urllib3

from tests.api.caller import Api, TestClient
from tests.api.conftest import application
from tests.builders import Installation, environment
from tests.provider import CLIENT, Provider, provider

OURS = "myDIRACClientID"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
FORM = re.compile(r'<form method="post" action="([^"]+)"')
HIDDEN = re.compile(r'<input type="hidden" name="state" value="([^"]+)">')
WEB = "http://localhost:3000/#authentication-callback"
USERS = """
    Users:
      subject-of-alice: {PreferedUsername: alice}
      subject-of-bob: {PreferedUsername: bob}
      subject-of-carol: {PreferedUsername: carol, Suspended: [lhcb]}
    DefaultGroup: user
    Groups:
      user: {Properties: [NormalUser], Users: [subject-of-alice, subject-of-bob, subject-of-carol]}
      admins: {Properties: [NormalUser, JobAdministrator, ProxyManagement], Users: [subject-of-alice]}
"""


def configuration(url: str = "") -> str:
    """lhcb with a provider, belle without one."""
    idp = f"\n    IdP: {{URL: '{url}', ClientID: {CLIENT}}}" if url else ""
    return f"Registry:\n  lhcb:{idp}{USERS}  belle:{USERS}"


@contextmanager
def configured(installation: Installation, text: str, **stated: str) -> Iterator[Path]:
    """The installation with a configuration and further settings; answers the configuration's file."""
    file = installation.folder / "logins.yml"
    file.write_text(text)
    always = {
        "DIRACX_DATA": str(installation.folder),
        "DIRACX_REDIS_URL": installation.redis.url,
        "DIRACX_URL": "http://testserver",
        "DIRACX_CONFIG_BACKEND_URL": str(file),
    }
    with environment(**{**always, **stated}):
        yield file


@dataclass
class Logins:
    """What a client and a browser do to log in."""

    api: Api
    provider: Provider
    file: Path

    def begin(self, scope: str = "vo:lhcb", **changed: str) -> dict[str, Any]:
        """A device's codes."""
        answer = self.api.ask(
            "POST", "/api/auth/device", by=None, params={"client_id": OURS, "scope": scope} | changed
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def get(self, address: str) -> httpx2.Response:
        """What our server answers a browser, which does not go on by itself."""
        return self.api.ask("GET", address, by=None, follow_redirects=False)

    def browse(self, address: str) -> httpx2.Response:
        """What our server says in the end when a browser has gone there, to the provider, and back."""
        sent = self.get(address)
        assert sent.status_code == 307, sent.text
        at_provider = urllib3.request("GET", sent.headers["Location"], redirect=False)
        assert at_provider.status == 302, at_provider.data
        return self.get(at_provider.headers["Location"])

    def asked(self, codes: dict[str, Any]) -> httpx2.Response:
        """The page that asks about a device's code, back from the provider; or what came instead."""
        back = self.browse(codes["verification_uri_complete"])
        return self.get(back.headers["Location"]) if back.status_code == 307 else back

    def press(
        self, page: httpx2.Response, action: str = "login", site: str = "same-origin"
    ) -> httpx2.Response:
        """What a button of that page gets."""
        target, state = FORM.search(page.text), HIDDEN.search(page.text)
        assert target and state, page.text
        content = {"state": html.unescape(state[1]), "action": action}
        headers = {"Sec-Fetch-Site": site}
        return self.api.ask("POST", target[1], by=None, data=content, headers=headers, follow_redirects=False)

    def confirm(self, codes: dict[str, Any]) -> httpx2.Response:
        """Confirm a device's code in a browser; 303 in the end."""
        page = self.asked(codes)
        return self.press(page) if page.status_code == 200 else page

    def token(self, **form: Any) -> httpx2.Response:
        """What the token endpoint answers."""
        return self.api.ask("POST", "/api/auth/token", by=None, data={"client_id": OURS} | form)

    def collect(self, codes: dict[str, Any], **changed: str) -> httpx2.Response:
        """What the device gets for its code."""
        return self.token(**{"grant_type": DEVICE, "device_code": codes["device_code"]} | changed)

    def log_in(self, scope: str = "vo:lhcb", subject: str = "subject-of-alice") -> dict[str, Any]:
        """The tokens of somebody who has logged in."""
        self.provider.subject = subject
        codes = self.begin(scope)
        assert self.confirm(codes).status_code == 303
        answer = self.collect(codes)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def renew(self, tokens: dict[str, Any]) -> httpx2.Response:
        """What a refresh token gives."""
        return self.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])

    def as_bearer(self, method: str, path: str, tokens: dict[str, Any], **options: Any) -> httpx2.Response:
        """A request with an access token."""
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        return self.api.ask(method, path, by=None, headers=headers, **options)


@contextmanager
def serving(installation: Installation, **stated: str) -> Iterator[Logins]:
    """A server whose VO lhcb has a provider; belle has none."""
    with (
        provider() as made,
        configured(installation, configuration(made.url), **stated) as file,
        TestClient(application(), raise_server_exceptions=False) as client,
    ):
        yield Logins(Api(client), made, file)


class Page:
    """A page in a browser that logs its user in with PKCE."""

    def __init__(self, redirect_uri: str = WEB, scope: str = "vo:lhcb group:user") -> None:
        self.verifier = secrets.token_urlsafe(48)
        self.redirect_uri = redirect_uri
        digest = hashlib.sha256(self.verifier.encode()).digest()
        self.query = {
            "response_type": "code",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "client_id": OURS,
            "redirect_uri": redirect_uri,
            "scope": scope,
            "state": "the page's own & state",
        }

    @property
    def address(self) -> str:
        """Where it sends its user to log in."""
        return f"/api/auth/authorize?{urlencode(self.query)}"

    def answer(self, response: httpx2.Response) -> dict[str, str]:
        """What our server has sent the browser back to the page with."""
        assert response.status_code in (303, 307), response.text
        location = response.headers["Location"]
        assert location.startswith(self.redirect_uri)
        last = urlsplit(location.rpartition("#")[2]).query
        return {name: values[0] for name, values in parse_qs(last).items()}

    def form(self, code: str) -> dict[str, str]:
        """What the page exchanges a code with."""
        own = {"redirect_uri": self.redirect_uri, "code_verifier": self.verifier}
        return {"grant_type": "authorization_code", "code": code, **own}
