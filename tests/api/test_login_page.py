"""The embedded login page: off unless switched on, strict with other sites, for both ways to log in."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from diracx_tasks.auth import password
from diracx_tasks.auth.tokens import verify
from tests.builders import Installation
from tests.logins import Logins, Page, serving

PASSWORD = "what diracx up has printed"
FORM = re.compile(r'<form method="post" action="([^"]+)"')
HIDDEN = re.compile(r'<input type="hidden" name="state" value="([^"]+)">')


@pytest.fixture
def page(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Logins]:
    """A server with the login page on; belle has no provider."""
    file = installation.folder / "keys" / "login"
    file.write_text(PASSWORD)
    monkeypatch.setattr(password, "_GUESSES", password._Guesses())
    with serving(installation, DIRACX_LOGIN_PAGE="true") as found:
        yield found


def shown(page: Logins, address: str) -> httpx2.Response:
    sent = page.get(address)
    assert sent.status_code == 307, sent.text
    assert sent.headers["Location"].startswith("http://testserver/api/auth/login?state=")
    answer = page.get(sent.headers["Location"])
    assert answer.status_code == 200, answer.text
    return answer


def send(page: Logins, form: httpx2.Response, site: str = "same-origin", **changed: str) -> httpx2.Response:
    action, state = FORM.search(form.text), HIDDEN.search(form.text)
    assert action and state
    content = {
        "state": html.unescape(state[1]),
        "subject": "subject-of-alice",
        "password": PASSWORD,
        "action": "login",
        **changed,
    }
    headers = {"Sec-Fetch-Site": site}
    return page.api.ask("POST", action[1], by=None, data=content, headers=headers, follow_redirects=False)


def test_a_device_is_confirmed_on_the_page(page: Logins) -> None:
    codes = page.begin("vo:belle group:admins")
    form = shown(page, codes["verification_uri_complete"])
    assert codes["user_code"] in form.text and "For one machine only" in form.text
    done = send(page, form)
    assert (done.status_code, done.headers["Location"][-9:]) == (303, "/finished")
    user = verify(page.collect(codes).json()["access_token"])
    assert (user.name, user.group, user.vo) == ("alice", "admins", "belle")


def test_a_page_logs_its_user_in_through_it(page: Logins) -> None:
    asking = Page(scope="vo:belle")
    form = shown(page, asking.address)
    assert "form-action 'self' http://localhost:3000;" in form.headers["Content-Security-Policy"]
    answer = asking.answer(send(page, form, subject="subject-of-bob"))
    tokens = page.token(**asking.form(answer["code"])).json()
    assert verify(tokens["access_token"]).name == "bob"


def test_refusing_on_the_page_ends_both_ways_to_log_in(page: Logins) -> None:
    codes, asking = page.begin("vo:belle"), Page(scope="vo:belle")
    refused = send(page, shown(page, codes["verification_uri_complete"]), action="refuse", password="")
    assert refused.status_code == 200
    assert page.collect(codes).json()["error"] == "access_denied"
    answer = asking.answer(send(page, shown(page, asking.address), action="refuse"))
    assert answer["error"] == "access_denied"


def test_a_wrong_password_lets_nobody_in_and_slows_down(page: Logins) -> None:
    codes = page.begin("vo:belle")
    form = shown(page, codes["verification_uri_complete"])
    wrong = send(page, form, password="a guess")
    assert wrong.status_code == 403 and 'role="alert"' in wrong.text and HIDDEN.search(wrong.text)
    early = send(page, form)
    assert early.status_code == 429 and "try again in" in early.text
    assert page.collect(codes).json() == {"error": "authorization_pending"}
    password._GUESSES.until = 0
    assert send(page, wrong).status_code == 303


def test_each_wrong_password_makes_the_pause_longer(page: Logins) -> None:
    form = shown(page, page.begin("vo:belle")["verification_uri_complete"])
    pauses = []
    for _ in range(8):
        password._GUESSES.until = 0
        send(page, form, password="a guess")
        pauses.append(min(password.LONGEST_PAUSE, 0.25 * 2**password._GUESSES.wrong))
    assert pauses == sorted(pauses) and pauses[0] < pauses[3] and pauses[-1] == password.LONGEST_PAUSE


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_cannot_send_the_form(page: Logins, site: str) -> None:
    codes = page.begin("vo:belle")
    answer = send(page, shown(page, codes["verification_uri_complete"]), site=site)
    assert answer.status_code == 403
    assert page.collect(codes).json() == {"error": "authorization_pending"}


def test_the_page_is_told_to_browsers_as_strict(page: Logins) -> None:
    answer = shown(page, page.begin("vo:belle")["verification_uri_complete"])
    policy = answer.headers["Content-Security-Policy"]
    for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'self'"):
        assert part in policy
    assert "script" not in answer.text and "unsafe" not in policy
    assert answer.headers["X-Frame-Options"] == "DENY" and answer.headers["Cache-Control"] == "no-store"
    for label in re.findall(r'<label for="(\w+)"', answer.text):
        assert f'id="{label}"' in answer.text
    assert '<html lang="en">' in answer.text


def test_what_users_are_called_is_text_and_no_markup(page: Logins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diracx_tasks.core.config.CHECK_SECONDS", 0.0)
    good = page.file.read_text()
    page.file.write_text(good.replace("PreferedUsername: bob", "PreferedUsername: '<b>\"&'"))
    answer = shown(page, page.begin("vo:belle")["verification_uri_complete"])
    assert "<b>" not in answer.text and "&lt;b&gt;&#34;&amp;" in answer.text


@pytest.mark.parametrize(
    "changed, status",
    [
        ({"subject": "nobody"}, 403),
        ({"subject": ""}, 422),
        ({"state": "x"}, 400),
        ({"action": "other"}, 422),
        ({"password": "x" * 300}, 422),
        ({"password": "é"}, 403),
    ],
    ids=str,
)
def test_a_form_that_is_wrong_confirms_nothing(page: Logins, changed: dict[str, Any], status: int) -> None:
    codes = page.begin("vo:belle")
    form = shown(page, codes["verification_uri_complete"])
    assert send(page, form, **changed).status_code == status
    assert page.collect(codes).json() == {"error": "authorization_pending"}


def test_a_vo_with_a_provider_has_no_page(page: Logins) -> None:
    codes = page.begin("vo:lhcb")
    sent = page.get(codes["verification_uri_complete"])
    assert sent.headers["Location"].startswith(page.provider.url)
    state = parse_qs(urlsplit(sent.headers["Location"]).query)["state"][0]
    assert page.get(f"/api/auth/login?{urlencode({'state': state})}").status_code == 404
    content = {"state": state, "subject": "subject-of-alice", "password": PASSWORD}
    assert page.api.ask("POST", "/api/auth/login", by=None, data=content).status_code == 404


def test_it_is_off_unless_it_is_switched_on(page: Logins, installation: Installation) -> None:
    state = page.get(page.begin("vo:belle")["verification_uri_complete"]).headers["Location"]
    address = state.removeprefix("http://testserver")
    assert page.get(address).status_code == 200
    with serving(installation) as off:
        answer = off.get(address)
        assert (answer.status_code, "DIRACX_LOGIN_PAGE is off" in answer.text) == (404, True)


def test_without_a_password_in_its_file_nobody_gets_in(page: Logins, installation: Installation) -> None:
    file: Path = installation.folder / "keys" / "login"
    form = shown(page, page.begin("vo:belle")["verification_uri_complete"])
    for spoil in (lambda: file.write_text("\n"), file.unlink):
        spoil()
        answer = send(page, form, password="")
        assert answer.status_code == 500 and "has no password" in answer.text
