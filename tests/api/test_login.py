"""Login on a device and in a page, against a real provider."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import verify
from tests.builders import Installation
from tests.logins import OURS, WEB, Logins, Page, serving
from tests.provider import CLIENT


@pytest.fixture
def logins(installation: Installation) -> Iterator[Logins]:
    """A server whose VO lhcb has a provider; belle has none."""
    with serving(installation) as found:
        yield found


def detail(answer: Any, status: int) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()["detail"]


def test_a_device_waits_until_its_code_is_confirmed_and_then_gets_tokens(logins: Logins) -> None:
    codes = logins.begin("vo:lhcb group:admins")
    assert len(codes["user_code"]) == 8 and set(codes["user_code"]) <= set("BCDFGHJKLMNPQRSTVWXZ")
    assert codes["expires_in"] == 600 and len(codes["device_code"]) == 43
    waiting = logins.collect(codes)
    assert (waiting.status_code, waiting.json()) == (400, {"error": "authorization_pending"})
    confirmed = logins.confirm(codes)
    assert confirmed.headers["Location"] == "http://testserver/api/auth/device/complete/finished"
    page = logins.get(confirmed.headers["Location"])
    assert (page.status_code, "Please close the window" in page.text) == (200, True)
    answer = logins.collect(codes)
    tokens = answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert (tokens["expires_in"], tokens["token_type"]) == (1200, "Bearer")
    user = verify(tokens["access_token"])
    assert (user.name, user.group, user.vo, user.subject) == ("alice", "admins", "lhcb", "subject-of-alice")
    assert user.properties == {"NormalUser", "JobAdministrator", "ProxyManagement"}
    assert detail(logins.collect(codes), 400) == "Code was already used"
    assert logins.get(codes["verification_uri_complete"]).status_code == 400


def test_userinfo_says_who_the_token_is(logins: Logins) -> None:
    found = logins.as_bearer(
        "GET", "/api/auth/userinfo", logins.log_in("vo:lhcb property:JobAdministrator")
    ).json()
    assert found == {
        "sub": "lhcb:subject-of-alice",
        "vo": "lhcb",
        "dirac_group": "user",
        "policies": {},
        "properties": ["JobAdministrator", "NormalUser"],
        "preferred_username": "alice",
    }


@pytest.mark.parametrize(
    "scope, words",
    [
        ("vo:lhcb foo", "Unrecognised scopes: ['foo']"),
        ("", "No vo scope requested, available values: 'vo:belle' 'vo:lhcb'"),
        ("vo:nope", "VO nope is not known to this installation"),
        ("vo:lhcb vo:belle", "Only one vo is allowed but got ['lhcb', 'belle']"),
        ("vo:lhcb group:nope", "nope not in lhcb groups"),
        ("vo:lhcb group:user group:admins", "Only one DIRAC group allowed but got ['user', 'admins']"),
        ("vo:lhcb property:Nope", "{'Nope'} are not valid properties"),
    ],
)
def test_a_wrong_scope_is_400_in_words(logins: Logins, scope: str, words: str) -> None:
    parameters = {"client_id": OURS, "scope": scope}
    answer = logins.api.ask("POST", "/api/auth/device", by=None, params=parameters)
    assert detail(answer, 400) == words
    query = {**Page(scope=scope).query}
    assert detail(logins.api.ask("GET", "/api/auth/authorize", by=None, params=query), 400) == words


def test_another_client_is_refused_everywhere(logins: Logins) -> None:
    other = {"client_id": "theirs", "scope": "vo:lhcb"}
    answer = logins.api.ask("POST", "/api/auth/device", by=None, params=other)
    assert detail(answer, 400) == "Unrecognised client ID"
    query = Page().query | {"client_id": "theirs"}
    answer = logins.api.ask("GET", "/api/auth/authorize", by=None, params=query)
    assert detail(answer, 400) == "Unrecognised client_id"
    codes, tokens = logins.begin(), logins.log_in()
    assert detail(logins.collect(codes, client_id="theirs"), 400) == "Bad client_id"
    renewed = logins.token(grant_type="refresh_token", client_id="theirs", **refresh_of(tokens))
    assert detail(renewed, 400) == "Bad client_id"
    form = {"token": tokens["refresh_token"], "client_id": "theirs"}
    answer = logins.api.ask("POST", "/api/auth/revoke", by=None, data=form)
    assert detail(answer, 401) == "Unrecognised client_id"


def refresh_of(tokens: dict[str, Any]) -> dict[str, str]:
    return {"refresh_token": tokens["refresh_token"]}


@pytest.mark.parametrize(
    "subject, scope, words",
    [
        (
            "subject-of-bob",
            "vo:lhcb group:admins",
            "User is not a member of the requested group (bob, admins)",
        ),
        ("subject-of-bob", "vo:lhcb property:Operator", "Operator are not valid properties for user bob, "),
        ("subject-of-carol", "vo:lhcb", "carol is suspended in lhcb"),
        ("somebody", "vo:lhcb", "somebody is not registered in lhcb: Please contact system administrator"),
    ],
)
def test_who_may_not_is_403_in_words(logins: Logins, subject: str, scope: str, words: str) -> None:
    logins.provider.subject = subject
    codes = logins.begin(scope)
    logins.confirm(codes)
    for _ in range(2):
        assert detail(logins.collect(codes), 403).startswith(words)


def test_a_refusal_at_the_provider_ends_the_login_of_a_device_with_its_reason(logins: Logins) -> None:
    logins.provider.denial = "access_denied"
    codes = logins.begin()
    page = logins.confirm(codes)
    assert page.status_code == 403 and "the user said no" in page.text
    refused = {"error": "access_denied", "error_description": "the user said no"}
    for _ in range(2):
        answer = logins.collect(codes)
        assert (answer.status_code, answer.json()) == (400, refused)


def test_a_page_gets_a_code_after_its_fragment_and_exchanges_it_once(logins: Logins) -> None:
    page = Page()
    answer = page.answer(logins.browse(page.address))
    assert answer["state"] == "the page's own & state"
    tokens = logins.token(**page.form(answer["code"]))
    assert tokens.status_code == 200 and verify(tokens.json()["access_token"]).name == "alice"
    assert detail(logins.token(**page.form(answer["code"])), 400) == "Code was already used"


def test_a_refusal_at_the_provider_goes_back_to_the_page(logins: Logins) -> None:
    logins.provider.denial = "access_denied"
    page = Page()
    answer = page.answer(logins.browse(page.address))
    assert answer == {
        "error": "access_denied",
        "error_description": "the user said no",
        "state": "the page's own & state",
    }


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"code_verifier": "another-one" * 5}, "Invalid code_challenge"),
        ({"code_verifier": "é"}, "Invalid code_challenge"),
        ({"redirect_uri": "http://testserver/api/docs/oauth2-redirect"}, "Invalid redirect_uri"),
        ({"client_id": "theirs"}, "Bad client_id"),
        ({"code": "0" * 75}, "Code is unknown"),
        ({"code": "x"}, "Code is unknown"),
        ({"code": None}, "the grant authorization_code needs code"),
        ({"code_verifier": None}, "the grant authorization_code needs code_verifier"),
    ],
    ids=str,
)
def test_a_code_holds_only_for_who_asked_for_it(logins: Logins, wrong: dict[str, Any], words: str) -> None:
    page = Page()
    form = page.form(page.answer(logins.browse(page.address))["code"])
    changed = {name: value for name, value in {**form, **wrong}.items() if value is not None}
    assert detail(logins.token(**changed), 400) == words
    assert logins.token(**form).status_code == 200


@pytest.mark.parametrize(
    "uri, is_ours",
    [
        (WEB, True),
        ("http://testserver/#authentication-callback", True),
        ("http://testserver/api/docs/oauth2-redirect", True),
        ("http://localhost:3000/", False),
        ("http://evil.example/#authentication-callback", False),
        ("http://localhost:3000.evil.example/#authentication-callback", False),
        ("javascript:alert(1)", False),
    ],
)
def test_only_known_pages_get_a_code(logins: Logins, uri: str, is_ours: bool) -> None:
    answer = logins.get(Page(uri).address)
    assert answer.status_code == (307 if is_ours else 400)
    assert is_ours or answer.json()["detail"] == "Unrecognised redirect_uri"


def test_a_page_that_the_setting_allows_gets_a_code(installation: Installation) -> None:
    stated = {"DIRACX_ALLOWED_REDIRECTS": '["https://portal.example.org/back?x=1"]'}
    with serving(installation, **stated) as logins:
        page = Page("https://portal.example.org/back?x=1")
        answer = logins.browse(page.address)
        assert answer.headers["Location"].startswith("https://portal.example.org/back?x=1&code=")


@pytest.mark.parametrize("state", ["", "x", "gAAAAAB", "é", "a" * 8000])
def test_a_state_that_is_not_ours_is_400(logins: Logins, state: str) -> None:
    for where in ("device", "authorize"):
        answer = logins.api.ask(
            "GET", f"/api/auth/{where}/complete", by=None, params={"code": "x", "state": state}
        )
        assert detail(answer, 400) == "Invalid state"


def test_codes_expire_by_the_databases_clock(logins: Logins, db: Session) -> None:
    codes, page = logins.begin(), Page()
    logins.confirm(codes)
    code = page.answer(logins.browse(page.address))["code"]
    late = logins.begin()
    for table in ("DeviceFlows", "AuthorizationFlows"):
        db.execute(text(f"UPDATE {table} SET CreationTime = datetime('now', '-700 seconds')"))
    db.commit()
    assert detail(logins.collect(codes), 401) == "Device code expired"
    assert detail(logins.collect(late), 401) == "Device code expired"
    assert detail(logins.token(**page.form(code)), 401) == "Code expired"
    gone = detail(logins.get(late["verification_uri_complete"]), 400)
    assert gone.startswith("No row was found when one was required")


def test_codes_are_stored_as_hashes(logins: Logins, db: Session) -> None:
    codes, page = logins.begin(), Page()
    code = page.answer(logins.browse(page.address))["code"]
    stored = str(db.execute(text("SELECT * FROM DeviceFlows")).all())
    stored += str(db.execute(text("SELECT * FROM AuthorizationFlows")).all())
    assert codes["device_code"] not in stored and code not in stored


def test_a_vo_without_a_provider_says_so(logins: Logins) -> None:
    codes = logins.begin("vo:belle")
    words = "nobody can log in to belle: the configuration states no Registry.belle.IdP"
    assert detail(logins.get(codes["verification_uri_complete"]), 400) == words
    assert detail(logins.get(Page(scope="vo:belle").address), 400) == words


def test_the_browser_is_sent_to_the_provider_as_diracx_does(logins: Logins) -> None:
    sent = logins.get(logins.begin()["verification_uri_complete"])
    assert sent.status_code == 307 and sent.headers["Cache-Control"] == "no-store"
    location = sent.headers["Location"]
    assert location.startswith(f"{logins.provider.url}/authorize?")
    for part in (
        f"client_id={CLIENT}",
        "response_type=code",
        "code_challenge_method=S256",
        "scope=openid%20profile",
        "redirect_uri=http%3A%2F%2Ftestserver%2Fapi%2Fauth%2Fdevice%2Fcomplete",
    ):
        assert part in location.replace("+", "%20"), part
