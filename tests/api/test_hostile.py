"""What attackers send: bodies too large, too deep or no Unicode, SQL, forged tokens, paths that lead away."""

import base64
import http.client
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey
from sqlalchemy.orm import Session

from diracx_tasks.auth import keys
from diracx_tasks.core.settings import settings
from tests.api.caller import Api
from tests.architecture.test_openapi import operations
from tests.builders import HEX, Installation, a_job, a_pilot, a_user, bearer
from tests.integration.official import serving

MIB = 1 << 20
ALICE = a_user(properties=("NormalUser", "JobAdministrator", "ServiceAdministrator"))
JSON = {"Content-Type": "application/json"}
FORM = "application/x-www-form-urlencoded"
BODIED = {
    name: next(iter(operation["requestBody"]["content"]))
    for name, operation in operations()
    if "requestBody" in operation
}
GARBAGE = {
    "UTF-16": '{"search": []}'.encode("utf-16"),
    "UTF-32": '["x"]'.encode("utf-32"),
    "broken UTF-8": b'{"job_ids": [1], "x": "\xff\xfe\xc3"}',
    "overlong UTF-8": b'["\xc0\xaf"]',
    "a lone surrogate": b'["\\ud800", {"a": "\\udfff"}]',
    "deep arrays": b"[" * 200_000,
    "deep objects": b'{"a":' * 200_000,
    "deep and closed": b"[" * 50_000 + b"]" * 50_000,
    "a number beyond all": b'{"job_ids": [1e999999, ' + b"9" * 5000 + b"]}",
    "NUL": b"\0" * 100,
    "NaN": b'{"1": {"CPUConsumed": NaN}, "2": {"x": -Infinity}}',
    "a text": b'"x"',
    "nothing": b"",
}


OF_PILOTS = ("/api/pilots/match", "/api/pilots/jobs", "/api/pilots/log", "/api/pilots/token")


def place(name: str) -> tuple[str, str]:
    """Method and address of an operation, about things that may be there."""
    method, path = name.split(" ")
    known = {"job_id": 1, "workflow_id": 1, "name": "jobs.optimize", "key": "x", "letter_id": 1}
    return method, path.format(**known)


@pytest.mark.parametrize("name", BODIED)
def test_a_body_that_is_none_is_the_senders_fault_everywhere(api: Api, db: Session, name: str) -> None:
    a_job(db)
    db.commit()
    method, path = place(name)
    by = a_pilot() if path.startswith(OF_PILOTS) else ALICE
    for what, body in GARBAGE.items():
        answer = api.ask(method, path, by=by, content=body, headers={"Content-Type": BODIED[name]})
        # A list of texts is a list of descriptions, an empty body a search for all, a text a sandbox's name.
        assert answer.status_code < 500, (what, answer.text)
        # UTF-16 and UTF-32 may be read, as RFC 4627 had it.
        if what.startswith(("broken", "overlong", "deep")):
            assert answer.status_code in (400, 404, 413, 415, 422), (what, answer.text)
            # The last is what GA4GH's services say.
            assert {"detail", "error", "msg"} & answer.json().keys()


LARGE: dict[str, tuple[str, str, Any]] = {
    "a description of 20 MB": ("POST", "/api/jobs/jdl", ["x" * 20 * MIB]),
    "a body of 33 MB": ("POST", "/api/jobs/jdl", ["x" * MIB] * 33),
    "a million descriptions": ("POST", "/api/jobs/jdl", ["x"] * 1_000_001),
    "a million values": (
        "POST",
        "/api/jobs/search",
        {"search": [{"parameter": "JobID", "operator": "in", "values": list(range(1_000_000))}]},
    ),
    "a thousand conditions": (
        "POST",
        "/api/jobs/search",
        {"search": [{"parameter": "JobID", "operator": "eq", "value": 1}] * 1000},
    ),
    "a long value": (
        "POST",
        "/api/jobs/search",
        {"search": [{"parameter": "JobName", "operator": "eq", "value": "x" * MIB}]},
    ),
    "a long name of a column": ("POST", "/api/jobs/search", {"parameters": ["x" * MIB]}),
    "many columns": ("POST", "/api/jobs/summary", {"grouping": ["Status"] * 100_000}),
    "a long output": ("PATCH", "/api/jobs/heartbeat", {"1": {"StandardOutput": "x" * MIB}}),
    "a long status": (
        "PATCH",
        "/api/jobs/status",
        {"1": {"2026-11-25T10:00:00Z": {"MinorStatus": "x" * MIB}}},
    ),
    "100 000 heartbeats": ("PATCH", "/api/jobs/heartbeat", {str(n): {} for n in range(100_000)}),
    "a long parameter": ("PATCH", "/api/jobs/metadata", {"1": {"HostName": "x" * 20 * MIB}}),
    "many parameters": ("PATCH", "/api/jobs/metadata", {"1": {f"p{n}": n for n in range(100_000)}}),
    "a parameter of a long name": ("PATCH", "/api/jobs/metadata", {"1": {"x" * 10_000: 1}}),
    "many jobs to run again": ("POST", "/api/jobs/reschedule", {"job_ids": [1] * 1_000_000}),
    "a long name of a sandbox": ("PATCH", "/api/jobs/1/sandbox/output", "x" * MIB),
    "a large sandbox": ("POST", "/api/jobs/sandbox", {"checksum": HEX, "size": 2**62, "format": "tar.zst"}),
    "a long stamp": ("POST", "/api/pilots/", {"pilot_stamp": "x" * MIB, "vo": "lhcb"}),
    "many pilots": ("PATCH", "/api/pilots/metadata", {f"s{n}": {} for n in range(100_000)}),
}


@pytest.mark.parametrize("what", LARGE)
def test_what_is_too_large_is_refused_and_the_limit_is_said(api: Api, db: Session, what: str) -> None:
    a_job(db)
    db.commit()
    method, path, body = LARGE[what]
    answer = api.ask(method, path, by=ALICE, content=json.dumps(body), headers=JSON)
    assert answer.status_code in (400, 413, 422), answer.text[:300]
    assert answer.json()["detail"]
    # What was sent is not sent back, or every attack would be answered with as much.
    assert len(answer.content) < 10_000, len(answer.content)


@pytest.mark.parametrize("where", ["jobs", "pilots"])
@pytest.mark.parametrize(
    "text", ["1; DROP TABLE Jobs", "Status' OR '1'='1", "(SELECT 1)", "Status\0", "Status--"]
)
def test_sql_is_no_column(api: Api, db: Session, where: str, text: str) -> None:
    a_job(db)
    db.commit()
    bodies = {
        "search": [
            {"parameters": [text]},
            {"sort": [{"parameter": text, "direction": "asc"}]},
            {"search": [{"parameter": text, "operator": "eq", "value": 1}]},
        ],
        "summary": [{"grouping": [text]}, {"grouping": ["Status"], "search": [condition(text)]}],
    }
    for what, tried in bodies.items():
        for body in tried:
            answer = api.post(f"/api/{where}/{what}", body, by=ALICE)
            assert answer.status_code in (400, 422), answer.text
    assert api.post("/api/jobs/search", {}, by=ALICE).json()


def condition(parameter: str) -> dict[str, Any]:
    return {"parameter": parameter, "operator": "in", "values": ["x"]}


def signed(header: dict[str, Any] | None = None, key: OKPKey | None = None, **changed: Any) -> str:
    """A token of alice's, signed by our key or another, with other claims or another header."""
    signer = key or keys.signing_key()
    claims = {
        "sub": "lhcb:subject-of-alice",
        "vo": "lhcb",
        "iss": settings().issuer,
        "preferred_username": "alice",
        "dirac_group": "user",
        "dirac_properties": ["NormalUser"],
        "exp": int(time.time()) + 60,
        **changed,
    }
    whole = {"alg": "Ed25519", "kid": keys.signing_key().kid, **(header or {})}
    return jwt.encode(whole, claims, signer, algorithms=["Ed25519"])


def test_tokens_that_expired_live_too_long_or_bring_their_own_key_are_none(api: Api) -> None:
    own = OKPKey.generate_key("Ed25519")
    header, body, signature = signed().split(".")
    tokens = {
        "expired a second ago": signed(exp=int(time.time()) - 1),
        "for ever": signed(exp=10**40),
        "for years": signed(exp=int(time.time()) + 10**8),
        "at infinity": signed(exp=float("inf")),
        "its own key": signed({"jwk": own.as_dict(private=False)}, own),
        "a path as key": signed({"kid": "../../../dev/null"}, own),
        "SQL as key": signed({"kid": "x' UNION SELECT 'key"}, own),
        "a key elsewhere": signed({"jku": "http://127.0.0.1:1/jwks", "x5u": "http://127.0.0.1:1/"}, own),
        "something critical": f"{encoded({'alg': 'Ed25519', 'crit': ['x'], 'x': 1})}.{body}.{signature}",
        "no signature": f"{header}.{body}.",
    }
    for what, token in tokens.items():
        answer = api.get("/api/auth/userinfo", by=None, headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid JWT"}), what
    good = {"Authorization": f"Bearer {signed()}"}
    assert api.get("/api/auth/userinfo", by=None, headers=good).status_code == 200


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


PATHS = [
    "SB:SandboxSE|/S3/local/lhcb/user/alice/../../../../etc/passwd",
    f"SB:SandboxSE|/S3/local/lhcb/user/../user/sha256:{HEX}.file",
    f"SB:SandboxSE|/S3/local/lhcb/user/alice/sha256:{HEX}.file/../../../../secret",
    f"SB:SandboxSE|/S3/../lhcb/user/alice/sha256:{HEX}.file",
    f"SB:SandboxSE|/S3/local/lhcb/user/alice/sha256:{HEX}..",
    f"SB:SandboxSE|/S3/local/lhcb/user/alice/sha256:{HEX}.file\0",
    f"SB:SandboxSE|/S3/local/lhcb/user/alice/sha256:{HEX}.file\n",
    f"SB:SandboxSE|//S3/local/lhcb/user/alice/sha256:{HEX}.file",
    "SB:SandboxSE|file:///etc/passwd",
    "/etc/passwd",
    "é" * 100,
]


@pytest.mark.parametrize("pfn", PATHS, ids=range(len(PATHS)))
def test_no_name_of_a_sandbox_leads_away(api: Api, db: Session, pfn: str) -> None:
    job_id = a_job(db)
    db.commit()
    found = api.get("/api/jobs/sandbox", params={"pfn": pfn})
    assert found.status_code in (400, 403, 422), found.text
    for body in (json.dumps(pfn).encode(), pfn.encode()):
        answer = api.ask("PATCH", f"/api/jobs/{job_id}/sandbox/output", content=body, headers=JSON)
        assert answer.status_code in (400, 403, 422), answer.text


@pytest.mark.parametrize(
    "changed",
    [
        {"format": "../../x"},
        {"format": "tar.bz2/../x"},
        {"checksum": "../" * 20 + "abcd"},
        {"checksum": HEX + "/../../x"},
        {"checksum": HEX + "\n"},
        {"checksum_algorithm": "../md5"},
        {"size": -1},
        {"size": 0.5},
    ],
    ids=str,
)
def test_no_announcement_leads_away(api: Api, installation: Installation, changed: dict[str, Any]) -> None:
    body = {"checksum_algorithm": "sha256", "checksum": HEX, "size": 3, "format": "tar.bz2", **changed}
    assert api.post("/api/jobs/sandbox", body).status_code == 422


@pytest.mark.integration
def test_after_an_error_the_connection_goes_on(installation: Installation, tmp_path: Path) -> None:
    with serving(installation, tmp_path) as site:
        connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=30)
        user = bearer(a_user())
        wrong: list[tuple[str, str, bytes, dict[str, str]]] = [
            ("POST", "/api/jobs/search", b"{", {**user, **JSON}),
            ("POST", "/api/jobs/search", b"\xff", {**user, **JSON}),
            ("POST", "/api/jobs/jdl", b'["[ Executable ="]', {**user, **JSON}),
            ("POST", "/api/auth/token", b"grant_type=x", {"Content-Type": FORM}),
            ("POST", "/api/auth/token", b"%ff%fe&&==", {"Content-Type": FORM}),
            ("GET", "/api/auth/userinfo", b"", {"Authorization": "Bearer x"}),
            ("GET", "/api/auth/userinfo", b"", {"Authorization": "nothing"}),
            ("GET", "/api/nothing", b"", user),
            ("DELETE", "/api/jobs/search", b"", user),
            ("PATCH", "/api/jobs/heartbeat", b'{"4711": {}}', {**user, **JSON}),
            ("GET", "/api/config/", b"", {**user, "DiracX-Client-Version": "x"}),
        ]
        with_socket = None
        for method, path, body, headers in wrong:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            assert 400 <= answer.status < 500 and ("detail" in told or "error" in told), (path, told)
            with_socket = with_socket or connection.sock
            # http.client makes a new one when the server has closed it.
            assert connection.sock is with_socket and with_socket is not None, path
        connection.close()
