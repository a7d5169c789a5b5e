"""A device gets its tokens by somebody's word on our page, in the browser that began; never by a link."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from diracx_tasks.auth import room
from diracx_tasks.core import remembered
from tests.builders import Installation
from tests.logins import OURS, Logins, Page, serving

WAITS = {"error": "authorization_pending"}


@pytest.fixture
def logins(installation: Installation) -> Iterator[Logins]:
    """A server whose VO lhcb has a provider, at which everybody is logged in."""
    with serving(installation) as found:
        yield found


def test_following_a_link_logs_in_nobodys_device(logins: Logins) -> None:
    codes = logins.begin("vo:lhcb group:admins property:Operator")
    page = logins.asked(codes)
    assert page.status_code == 200 and logins.collect(codes).json() == WAITS
    for said in (codes["user_code"], "lhcb", "admins", "Operator", "alice"):
        assert said in page.text
    assert logins.press(page).headers["Location"] == "http://testserver/api/auth/device/complete/finished"
    assert logins.collect(codes).status_code == 403


def test_the_question_is_told_to_browsers_as_strict(logins: Logins) -> None:
    page = logins.asked(logins.begin())
    policy = page.headers["Content-Security-Policy"]
    for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
        assert part in policy
    assert "script" not in page.text and "unsafe" not in policy
    assert page.headers["X-Frame-Options"] == "DENY" and page.headers["Cache-Control"] == "no-store"


def test_who_says_no_ends_the_login(logins: Logins) -> None:
    codes = logins.begin()
    page = logins.asked(codes)
    answer = logins.press(page, "refuse")
    assert (answer.status_code, "Refused" in answer.text) == (200, True)
    assert logins.collect(codes).json()["error"] == "access_denied"
    assert logins.press(page).status_code == 400


def test_the_cookie_is_for_this_login_only_and_for_no_script(logins: Logins) -> None:
    codes = logins.begin()
    sent = logins.get(codes["verification_uri_complete"]).headers["Set-Cookie"]
    assert sent.startswith(f"diracx-device-{codes['user_code']}=")
    for part in ("HttpOnly", "SameSite=lax", "Max-Age=600", "Path=/api/auth/device"):
        assert part in sent
    assert "Secure" not in sent


def test_the_cookie_is_for_tls_only_where_we_are_reached_so(installation: Installation) -> None:
    with serving(installation, DIRACX_URL="https://testserver") as logins:
        logins.api.client.base_url = "https://testserver"
        sent = logins.get(logins.begin()["verification_uri_complete"])
        assert "Secure" in sent.headers["Set-Cookie"]


def test_another_browser_can_neither_see_nor_answer_the_question(logins: Logins) -> None:
    codes = logins.begin()
    back = logins.browse(codes["verification_uri_complete"])
    page = logins.get(back.headers["Location"])
    own = dict(logins.api.client.cookies)
    for theirs in ({}, {name: "a guess" for name in own}):
        logins.api.client.cookies.clear()
        logins.api.client.cookies.update(theirs)
        assert logins.get(back.headers["Location"]).status_code == 403
        assert logins.press(page).status_code == logins.press(page, "refuse").status_code == 403
    assert logins.collect(codes).json() == WAITS
    logins.api.client.cookies.clear()
    logins.api.client.cookies.update(own)
    assert logins.press(page).status_code == 303


def test_what_the_provider_says_to_another_browser_counts_for_nothing(logins: Logins) -> None:
    codes = logins.begin()
    location = logins.get(codes["verification_uri_complete"]).headers["Location"]
    logins.api.client.cookies.clear()
    state = location.rpartition("state=")[2]
    for answer in ("code=x", "error=access_denied"):
        refused = logins.get(f"/api/auth/device/complete?{answer}&state={state}")
        assert refused.status_code == 403 and "another browser" in refused.json()["detail"]
    assert logins.collect(codes).json() == WAITS


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_cannot_press_the_button(logins: Logins, site: str) -> None:
    codes = logins.begin()
    assert logins.press(logins.asked(codes), site=site).status_code == 403
    assert logins.collect(codes).json() == WAITS


def test_who_has_not_been_at_the_provider_is_not_asked(logins: Logins) -> None:
    codes = logins.begin()
    for address in (codes["verification_uri_complete"], Page().address):
        location = logins.get(address).headers["Location"]
        state = parse_qs(urlsplit(location).query)["state"][0]
        where = f"/api/auth/device/complete/confirm?{urlencode({'state': state})}"
        assert logins.get(where).json()["detail"] == "Invalid state"
        sent: dict[str, Any] = {"state": state, "action": "login"}
        answer = logins.api.ask("POST", "/api/auth/device/complete/confirm", by=None, data=sent)
        assert (answer.status_code, answer.json()["detail"]) == (400, "Invalid state")
    assert logins.collect(codes).json() == WAITS


def test_two_logins_in_one_browser_do_not_disturb_each_other(logins: Logins) -> None:
    first, second = logins.begin(), logins.begin()
    pages = [logins.asked(codes) for codes in (first, second)]
    assert [logins.press(page).status_code for page in pages] == [303, 303]


def test_more_logins_than_there_is_room_for_are_asked_to_come_again(
    logins: Logins, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST", 3)
    monkeypatch.setattr(remembered, "TIMES", 0)

    def begun() -> list[int]:
        parameters = {"client_id": OURS, "scope": "vo:lhcb"}
        device = logins.api.ask("POST", "/api/auth/device", by=None, params=parameters)
        page = logins.get(Page().address)
        for full in (answer for answer in (device, page) if answer.status_code == 503):
            assert full.headers["Retry-After"] and full.json()["detail"].startswith("3 logins are under way")
        return [device.status_code, page.status_code]

    assert [begun() for _ in range(4)] == [[200, 307]] * 3 + [[503, 503]]
    db.execute(text("UPDATE DeviceFlows SET CreationTime = datetime('now', '-700 seconds')"))
    db.execute(text("UPDATE AuthorizationFlows SET Status = 'DONE'"))
    db.commit()
    assert begun() == [200, 307]
