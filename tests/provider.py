"""An OpenID Connect provider for tests, as strict as real ones: discovery, PKCE, one use of a code, JWKS."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = "our-client-at-the-provider"
ASKED = ("response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge")


def new_key() -> RSAKey:
    """A key that signs id_tokens."""
    return RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True)


@dataclass
class Provider:
    """What the provider does; `subject` is who is logged in at its site.

    `denial` is the error with which it sends browsers back, `claims` what its id_tokens say differently,
    `away` the status that it answers everything with.
    """

    url: str = ""
    subject: str = "subject-of-alice"
    denial: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    away: int = 0
    key: RSAKey = field(default_factory=new_key)
    signer: Any = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def described(self) -> dict[str, Any]:
        """Its discovery document."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
            **self.metadata,
        }

    def authorize(self, query: dict[str, str]) -> str | None:
        """Where a browser goes that has come with this; None when the request is wrong."""
        is_good = all(query.get(name) for name in ASKED) and query["client_id"] == CLIENT
        asks_well = query.get("response_type") == "code" and "openid" in query.get("scope", "").split()
        if not is_good or not asks_well or query.get("code_challenge_method") != "S256":
            return None
        answer = {"error": self.denial, "error_description": "the user said no"} if self.denial else {}
        if not answer:
            code = secrets.token_urlsafe(16)
            self.codes[code] = {**query, "sub": self.subject}
            answer = {"code": code}
        return f"{query['redirect_uri']}?{urlencode({**answer, 'state': query['state']})}"

    def exchange(self, form: dict[str, str]) -> dict[str, Any] | None:
        """The tokens of a code; None when it does not hold. A code holds once."""
        given = self.codes.pop(form.get("code", ""), None)
        if given is None or form.get("grant_type") != "authorization_code":
            return None
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        same = all(form.get(name) == given[name] for name in ("client_id", "redirect_uri"))
        if not same or challenge != given["code_challenge"]:
            return None
        return {"access_token": "x", "token_type": "Bearer", "id_token": self.id_token(given["sub"])}

    def id_token(self, subject: str) -> str:
        """Who somebody is, signed."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": CLIENT, "sub": subject, "iat": now, "exp": now + 300}
        claims = {name: value for name, value in {**usual, **self.claims}.items() if value is not ...}
        header = {"alg": "RS256", "kid": self.key.kid, **self.header}
        signer = self.signer or self.key
        return jwt.encode(header, claims, signer, algorithms=[header["alg"]])


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider that runs in threads of this process."""
    made = Provider()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(made)) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


def _handler(made: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            made.asked.append(parts.path)
            if made.away:
                return self.answer(made.away, {})
            if parts.path == "/authorize":
                where = made.authorize({name: values[0] for name, values in parse_qs(parts.query).items()})
                return (
                    self.answer(302, {}, where) if where else self.answer(400, {"error": "invalid_request"})
                )
            known = {
                "/.well-known/openid-configuration": made.described(),
                "/keys": {"keys": [made.key.as_dict(private=False)]},
            }
            return self.answer(200 if parts.path in known else 404, known.get(parts.path, {}))

        def do_POST(self) -> None:
            made.asked.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            is_form = self.headers["Content-Type"] == "application/x-www-form-urlencoded"
            if made.away:
                return self.answer(made.away, {})
            form = {name: values[0] for name, values in parse_qs(body).items()} if is_form else {}
            found = made.exchange(form)
            return self.answer(200, found) if found else self.answer(400, {"error": "invalid_grant"})

        def answer(self, status: int, body: Any, location: str = "") -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            if location or status in (301, 302):
                self.send_header("Location", location or f"{made.url}/elsewhere")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
