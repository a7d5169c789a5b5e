"""Into our pages and out of them."""

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import urllib3
from playwright.sync_api import Browser, Page

from diracx_api.ui.visit import TICKET
from diracx_tasks.auth import refresh
from diracx_tasks.core.database import session
from diracx_tasks.core.settings import settings
from tests.ui.visitor import PASSWORD, Pages, Visitor, open_visitor


def a_stranger(pages: Pages, browser: Browser) -> Visitor:
    """Somebody who is not logged in."""
    found = open_visitor(pages, browser, "alice", "user", ticket="none")
    found.context.clear_cookies()
    return found


def log_in(page: Page, user: str = "alice") -> None:
    page.get_by_role("link", name="belle / user", exact=True).click()
    page.get_by_label("User").select_option(user)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def test_one_logs_in_comes_back_to_the_page_and_logs_out(pages: Pages, browser: Browser) -> None:
    stranger = a_stranger(pages, browser)
    page = stranger.goto("/ui/jobs?status=Done&name=a%26b")
    assert urlsplit(page.url).path == "/ui/login"
    stranger.picture("login")
    stranger.is_accessible()
    log_in(page)
    page.wait_for_url("**/ui/jobs?status=Done&name=a%26b")
    assert "alice belle / user" in page.inner_text("header")
    (ticket,) = [one for one in stranger.context.cookies() if one["name"] == TICKET]
    assert (ticket["httpOnly"], ticket["sameSite"], ticket["path"]) == (True, "Lax", "/ui")
    page.get_by_role("button", name="Log out").click()
    assert page.get_by_text("You are logged out.").is_visible()
    stranger.keep(ticket["value"])
    assert urlsplit(stranger.goto("/ui/jobs").url).path == "/ui/login"
    assert stranger.complaints == []
    stranger.close()


def test_who_refuses_or_is_suspended_is_told_so(pages: Pages, browser: Browser) -> None:
    stranger = a_stranger(pages, browser)
    page = stranger.goto("/ui/login")
    page.get_by_role("link", name="belle / user", exact=True).click()
    page.get_by_role("button", name="Refuse").click()
    assert "the login was refused" in page.inner_text("main")
    stranger.close()


@pytest.mark.parametrize(
    "onwards", ["//evil.example.org", "https://evil.example.org/ui/", "/ui/\\..", "/uix", "javascript:x"]
)
def test_a_login_leads_nowhere_else(pages: Pages, browser: Browser, onwards: str) -> None:
    stranger = a_stranger(pages, browser)
    page = stranger.page
    page.goto(f"{pages.url}/ui/login")
    page.goto(f"{pages.url}/ui/login?onwards={onwards}")
    link = page.get_by_role("link", name="belle / user", exact=True).get_attribute("href")
    assert parse_qs(urlsplit(str(link)).query)["onwards"] == ["/ui"]
    stranger.close()


def test_a_login_that_another_browser_began_is_refused(pages: Pages) -> None:
    status, words = pages.send("/ui/login/done?state=x&code=y", "", method="GET")
    assert status == 403 and "has begun no login" in words


def test_a_login_that_ended_elsewhere_ends_here_also_on_a_page_that_renews_itself(
    pages: Pages, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diracx_api.ui.jobs.EVERY", 0.3)
    ticket = pages.ticket()
    alice = open_visitor(pages, browser, "alice", "user", ticket=ticket)
    page = alice.goto("/ui/jobs?status=Done")
    with session() as db:
        refresh.revoke(db, ticket)
    page.wait_for_url("**/ui/login?onwards=%2Fui%2Fjobs%3Fstatus%3DDone")
    alice.close()


def test_every_page_binds_the_browser(pages: Pages) -> None:
    for path in ("/ui/login", "/ui/jobs", "/ui/jobs/4711"):
        _, found = pages.headers(path, pages.ticket())
        assert found["Content-Security-Policy"].startswith(
            "default-src 'none'; script-src 'self'; style-src 'self'"
        )
        assert "unsafe" not in found["Content-Security-Policy"]
        assert found["X-Frame-Options"] == "DENY" and found["Cache-Control"] == "no-store"


def test_an_address_that_is_no_page_is_answered_with_one(pages: Pages) -> None:
    status, words = pages.send("/ui/nowhere", "", method="GET")
    assert status == 404 and "There is no such page." in words and 'href="/ui"' in words


def test_a_device_s_code_that_is_wrong_is_told_in_a_page(pages: Pages, browser: Browser) -> None:
    stranger = a_stranger(pages, browser)
    answer = stranger.page.goto(f"{pages.url}/api/auth/device?user_code=BCDF<b>")
    assert answer is not None and answer.status == 400
    assert "The code BCDF<b> is not known" in stranger.page.inner_text("main")
    stranger.close()


KINDS: tuple[dict[str, Any], ...] = ({}, {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"})


@pytest.mark.parametrize("kind", KINDS)
def test_the_pages_of_a_login_look_like_the_others_and_are_in_nobodys_way(
    pages: Pages, browser: Browser, kind: dict[str, Any]
) -> None:
    stranger = open_visitor(pages, browser, "alice", "user", ticket="none", **kind)
    page = stranger.page
    asked = {"client_id": settings().client_id, "scope": "vo:belle"}
    codes = urllib3.request("POST", f"{pages.url}/api/auth/device?{urlencode(asked)}").json()

    def look(name: str) -> None:
        stranger.picture(f"outside-{name}-{kind.get('color_scheme', 'light')}")
        stranger.is_accessible()
        stranger.fits()
        colour = "getComputedStyle(document.body).backgroundColor"
        seen.add((page.evaluate(colour), page.locator("header a.brand").inner_text()))

    seen: set[tuple[str, str]] = set()
    page.goto(f"{pages.url}/ui/login")
    look("choice")
    page.goto(codes["verification_uri_complete"])
    look("login")
    page.get_by_label("User").select_option("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/finished")
    look("finished")
    assert len(seen) == 1 and stranger.complaints == []
    stranger.close()
