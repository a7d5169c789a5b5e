"""Refresh tokens: one use each, a second use ends everything; lists, revocation, the legacy exchange."""

import base64
import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from joserfc import jwt
from sqlalchemy import text
from sqlalchemy.orm import Session

from diracx_tasks.auth import keys, tokens
from diracx_tasks.core import database
from diracx_tasks.core.schema import migrate
from tests.builders import Installation
from tests.logins import OURS, Logins, configuration, serving
from tests.servers import MariaDB

REUSED = "Revoked refresh token reused: potential attack detected. You must authenticate again"
KEY = b"the key that both installations know"
HASHED = {"DIRACX_LEGACY_EXCHANGE_HASHED_API_KEY": hashlib.sha256(KEY).hexdigest()}


@pytest.fixture
def logins(installation: Installation) -> Iterator[Logins]:
    """A server whose VO lhcb has a provider."""
    with serving(installation) as found:
        yield found


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.integration)])
def anywhere(installation: Installation, request: pytest.FixtureRequest) -> Iterator[Logins]:
    """The same on both databases."""
    stated = {}
    if request.param == "mariadb":
        server: MariaDB = request.getfixturevalue("mariadb")
        stated = {"DIRACX_DATABASE_URL": server.url}
    with serving(installation, **stated) as found:
        migrate()
        with database.session() as db:
            db.execute(text(f"DELETE FROM {'AuthDB.' if stated else ''}RefreshTokens"))
        yield found


def payload(token: str) -> dict[str, Any]:
    return jwt.decode(token, keys.key_set(), algorithms=tokens.ALGORITHMS).claims


def refused(answer: httpx2.Response, status: int = 401) -> str:
    assert answer.status_code == status, answer.text
    words: str = answer.json()["detail"]
    return words


def test_a_refresh_token_gives_new_tokens_and_the_login_ends_when_it_would_have(logins: Logins) -> None:
    first = logins.log_in("vo:lhcb group:admins")
    answer = logins.renew(first)
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
    second = answer.json()
    before, after = payload(first["refresh_token"]), payload(second["refresh_token"])
    assert before.keys() == {"jti", "exp", "legacy_exchange", "dirac_policies"}
    assert after == {**before, "jti": after["jti"]} and after["jti"] > before["jti"]
    assert tokens.verify(second["access_token"]).group == "admins"
    assert 3500 < before["exp"] - time.time() <= 3600


def test_a_second_use_ends_all_logins_of_the_user_and_of_nobody_else(anywhere: Logins) -> None:
    first, elsewhere = anywhere.log_in(), anywhere.log_in()
    bobs = anywhere.log_in(subject="subject-of-bob")
    second = anywhere.renew(first).json()
    for stale in (first, second, elsewhere, first):
        answer = anywhere.renew(stale)
        assert refused(answer) == REUSED and answer.headers["WWW-Authenticate"] == "Bearer"
    assert anywhere.renew(bobs).status_code == 200


def test_of_sixteen_parallel_uses_one_wins_and_all_are_revoked(anywhere: Logins) -> None:
    first = anywhere.log_in()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(anywhere.renew, [first] * 16))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 15
    (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert refused(anywhere.renew(winner)) == REUSED


def test_of_sixteen_parallel_questions_one_gets_a_devices_tokens(anywhere: Logins) -> None:
    codes = anywhere.begin()
    anywhere.confirm(codes)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(anywhere.collect, [codes] * 16))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 15


@pytest.mark.parametrize(
    "before, after, refusal",
    [
        ("Users: [subject-of-alice]}", "Users: []}", (403, "User is not a member of")),
        (
            "{PreferedUsername: alice}",
            "{PreferedUsername: alice, Suspended: [lhcb]}",
            (403, "alice is suspended"),
        ),
        ("      admins:", "      others:", (400, "admins not in lhcb groups")),
    ],
)
def test_what_the_configuration_says_now_counts_at_each_refresh(
    logins: Logins, before: str, after: str, refusal: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diracx_tasks.core.config.CHECK_SECONDS", 0.0)
    given, good = logins.log_in("vo:lhcb group:admins"), logins.file.read_text()
    logins.file.write_text(good.replace(before, after))
    assert refused(logins.renew(given), refusal[0]).startswith(refusal[1])
    logins.file.write_text(good.replace("JobAdministrator, ", ""))
    user = tokens.verify(logins.renew(given).json()["access_token"])
    assert user.properties == {"NormalUser", "ProxyManagement"}


def test_only_our_refresh_tokens_refresh(logins: Logins) -> None:
    given = logins.log_in()
    claims = payload(given["refresh_token"])
    assert refused(logins.renew({"refresh_token": given["access_token"]})).startswith("decode_error")
    for token in ("", "x", "a.b.c", given["refresh_token"][:-4] + "AAAA", "é" * 20):
        answer = logins.renew({"refresh_token": token})
        assert answer.status_code == (401 if token else 400)
    expired = tokens.sign({"legacy_exchange": False}, claims["jti"], int(time.time()) - 1)
    assert refused(logins.renew({"refresh_token": expired})).startswith("expired_token")
    unknown = tokens.sign({"legacy_exchange": False}, "0199c0de-0000-7000-8000-000000000000", claims["exp"])
    assert refused(logins.renew({"refresh_token": unknown})) == "Refresh token is unknown: log in again"
    assert logins.renew(given).status_code == 200


def test_a_refresh_token_is_no_access_token(logins: Logins) -> None:
    given = logins.log_in()
    answer = logins.as_bearer("GET", "/api/auth/userinfo", {"access_token": given["refresh_token"]})
    assert refused(answer) == "Invalid JWT"


def test_a_revoked_login_is_over(logins: Logins) -> None:
    given = logins.log_in()
    for _ in range(2):
        answer = revoke(logins, token=given["refresh_token"], token_type_hint="refresh_token", client_id=OURS)
        assert (answer.status_code, answer.json()) == (200, "Refresh token revoked")
    assert refused(logins.renew(given)) == REUSED


def test_revoking_what_is_none_of_ours_is_no_error(logins: Logins) -> None:
    given = logins.log_in()
    for token in ("garbage", given["access_token"]):
        assert revoke(logins, token=token).json() == "Refresh token revoked"
    answer = revoke(logins, token=given["access_token"], token_type_hint="access_token")
    assert refused(answer, 400) == "unsupported_token_type"
    assert logins.renew(given).status_code == 200


def test_a_form_that_is_too_long_is_not_read(logins: Logins) -> None:
    for path in ("token", "revoke"):
        answer = logins.api.ask("POST", f"/api/auth/{path}", by=None, data={"token": "x" * 70_000})
        assert answer.status_code == 413


def revoke(logins: Logins, **form: str) -> httpx2.Response:
    return logins.api.ask("POST", "/api/auth/revoke", by=None, data=form)


def test_users_see_and_end_their_own_logins_and_who_manages_proxies_those_of_his_vo(logins: Logins) -> None:
    alice, bob = logins.log_in("vo:lhcb group:admins"), logins.log_in(subject="subject-of-bob")
    (own,) = listed(logins, bob)
    assert own["Status"] == 1 and own["Scope"] == "vo:lhcb" and own["Sub"] == "lhcb:subject-of-bob"
    assert own["JTI"] == payload(bob["refresh_token"])["jti"]
    everybodys = {one["Sub"] for one in listed(logins, alice)}
    assert everybodys == {"lhcb:subject-of-alice", "lhcb:subject-of-bob"}
    alices = payload(alice["refresh_token"])["jti"]
    assert refused(end(logins, bob, alices), 403) == "Cannot revoke a refresh token owned by someone else"
    for _ in range(2):
        assert end(logins, alice, own["JTI"]).json() == "Refresh token revoked"
    assert listed(logins, bob) == []
    assert [one["Status"] for one in listed(logins, alice)] == [2, 1]
    assert refused(end(logins, bob, "x"), 400) == "badly formed hexadecimal UUID string"
    nobodys = "0199c0de-0000-7000-8000-000000000000"
    assert refused(end(logins, bob, nobodys), 404) == f"Token {nobodys} not found"


def test_no_vo_sees_or_ends_the_logins_of_another(logins: Logins) -> None:
    given = logins.log_in("vo:lhcb group:admins")
    logins.file.write_text(
        configuration(logins.provider.url).replace("  belle:", "    #").replace("lhcb:", "belle:")
    )
    stranger = tokens.User("alice", "admins", "belle", "subject-of-alice", frozenset({"ProxyManagement"}))
    theirs = {"access_token": tokens.issue(stranger, seconds=60)}
    assert listed(logins, theirs) == []
    assert end(logins, theirs, payload(given["refresh_token"])["jti"]).status_code == 404
    assert len(listed(logins, given)) == 1


def test_subjects_that_differ_in_case_are_different_people(anywhere: Logins) -> None:
    given = anywhere.log_in()
    other = tokens.User("eve", "user", "lhcb", "SUBJECT-of-alice")
    theirs = {"access_token": tokens.issue(other, seconds=60)}
    assert listed(anywhere, theirs) == []
    assert end(anywhere, theirs, payload(given["refresh_token"])["jti"]).status_code == 403
    assert len(listed(anywhere, given)) == 1


def listed(logins: Logins, given: dict[str, Any]) -> list[dict[str, Any]]:
    answer = logins.as_bearer("GET", "/api/auth/refresh-tokens", given)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def end(logins: Logins, given: dict[str, Any], jti: str) -> httpx2.Response:
    return logins.as_bearer("DELETE", f"/api/auth/refresh-tokens/{jti}", given)


@pytest.mark.parametrize("path", ["token", "revoke"])
@pytest.mark.parametrize(
    "options",
    [
        {"data": {}},
        {"data": {"grant_type": "password", "client_id": OURS, "token": ""}},
        {"json": {"grant_type": "refresh_token", "client_id": OURS, "token": "x"}},
        {"content": b"\xff\xfe=\x00&&&=", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"files": {"grant_type": b"x", "client_id": b"\0", "token": b"x"}},
        {"content": b"--", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b""},
        {"data": {"grant_type": "refresh_token", "client_id": "x" * 300, "token": "x" * 9000}},
    ],
    ids=range(9),
)
def test_a_form_that_is_wrong_is_refused_in_json(logins: Logins, path: str, options: dict[str, Any]) -> None:
    answer = logins.api.ask("POST", f"/api/auth/{path}", by=None, **options)
    assert answer.status_code in (400, 422) or (path, answer.status_code) == ("revoke", 200), answer.text
    assert answer.headers["Content-Type"] == "application/json" and answer.json()


def legacy(logins: Logins, key: bytes = KEY, header: str | None = None, **query: Any) -> httpx2.Response:
    sent = header if header is not None else f"Bearer diracx:legacy:{base64.urlsafe_b64encode(key).decode()}"
    asked = {"preferred_username": "alice", "scope": "vo:lhcb group:admins", "source": "dirac", **query}
    headers = {"Authorization": sent} if sent else {}
    return logins.api.ask("GET", "/api/auth/legacy-exchange", by=None, params=asked, headers=headers)


def test_a_proxy_is_exchanged_for_tokens_whose_refresh_token_stays(installation: Installation) -> None:
    with serving(installation, **HASHED) as logins:
        given = legacy(logins, expires_minutes=600).json()
        claims = payload(given["refresh_token"])
        assert claims["legacy_exchange"] is True and 35000 < claims["exp"] - time.time() <= 36000
        assert tokens.verify(given["access_token"]).group == "admins"
        for _ in range(2):
            assert logins.renew(given).json()["refresh_token"] == given["refresh_token"]
        revoke(logins, token=given["refresh_token"])
        assert refused(logins.renew(given)) == REUSED


@pytest.mark.parametrize(
    "asked, status, words",
    [
        ({"key": b"another key"}, 401, "Invalid credentials"),
        ({"header": ""}, 400, "Invalid authorization header"),
        ({"header": "Bearer x"}, 400, "Invalid authorization header"),
        ({"header": "Bearer diracx:legacy:x"}, 400, "Invalid authorization header"),
        ({"preferred_username": "nobody"}, 400, "Invalid scope or preferred_username"),
        ({"scope": "vo:nope"}, 400, "Invalid scope or preferred_username: VO nope is not known"),
        ({"preferred_username": "bob"}, 403, "User is not a member of the requested group (bob, admins)"),
    ],
    ids=str,
)
def test_the_legacy_exchange_refuses_in_words(
    installation: Installation, asked: dict[str, Any], status: int, words: str
) -> None:
    with serving(installation, **HASHED) as logins:
        assert refused(legacy(logins, **asked), status).startswith(words)


def test_without_a_key_there_is_no_legacy_exchange(logins: Logins) -> None:
    assert refused(legacy(logins), 503) == "Legacy exchange is not enabled"
    document = logins.api.get("/api/openapi.json", by=None).json()
    assert "/api/auth/legacy-exchange" not in document["paths"]


def test_what_is_revoked_is_committed_although_the_answer_is_an_error(logins: Logins, db: Session) -> None:
    given = logins.log_in()
    logins.renew(given)
    logins.renew(given)
    rows = db.execute(text("SELECT DISTINCT Status FROM RefreshTokens")).scalars().all()
    assert rows == ["REVOKED"]
