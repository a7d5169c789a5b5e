"""What one wants to be told, said in a browser."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from playwright.sync_api import Browser

from diracx_tasks.auth import sessions
from diracx_tasks.auth.rights import PROXIES
from diracx_tasks.auth.visits import find
from diracx_tasks.core.database import reading, session
from diracx_tasks.notices import confirm, wishes
from tests.builders import Installation, a_job, a_user
from tests.ui.visitor import Pages, Visitor, open_visitor, serving

Visit = Callable[..., Visitor]


def wanted() -> dict[str, object]:
    with reading() as db:
        return wishes.show(db, by=a_user())


def test_a_webhook_is_set_with_its_secret_shown_once_and_taken_out_again(visit: Visit) -> None:
    alice = visit()
    page = alice.goto("/ui/settings")
    alice.picture("settings")
    alice.is_accessible()
    page.set_viewport_size({"width": 390, "height": 844})
    alice.fits()
    page.get_by_label("Webhook").fill("https://chat.example.org/hook")
    page.get_by_label("a workflow was killed").check()
    page.get_by_label("a workflow is done").uncheck()
    page.get_by_label("so many minutes").fill("30")
    page.get_by_role("button", name="Change").click()
    secret = page.get_by_label("Secret", exact=True).inner_text()
    assert len(secret) > 30
    found = wanted()
    assert found["webhook"] == "https://chat.example.org/hook" and found["interval"] == 1800
    assert found["events"] == ["failed", "attention", "killed"]
    assert secret not in alice.goto("/ui/settings").content()
    page.get_by_text("Be told nothing…").click()
    page.get_by_role("button", name="Be told nothing", exact=True).click()
    page.get_by_role("status").wait_for()
    assert wanted()["webhook"] == ""


def test_an_address_inside_the_network_is_refused_in_words(pages: Pages) -> None:
    ticket = pages.ticket()
    with session() as db:
        key = find(db, ticket).form_key
    form = {"form_key": key, "webhook": "http://127.0.0.1/", "minutes": "10"}
    status, words = pages.send("/ui/settings", ticket, **form)
    assert status == 400 and "https" in words


def test_a_mail_address_is_confirmed_by_its_code(installation: Installation, browser: Browser) -> None:
    mail = {"DIRACX_MAIL_URL": "smtp://127.0.0.1:9", "DIRACX_MAIL_FROM": "dirac@example.org"}
    with serving(installation, **mail) as pages:
        alice = open_visitor(pages, browser, "alice", "user")
        page = alice.goto("/ui/settings")
        page.get_by_label("Mail", exact=True).fill("alice@example.org")
        page.get_by_role("button", name="Change").click()
        page.get_by_label("The code that was sent to alice@example.org").wait_for()
        assert wanted()["mail"] == ""
        with session() as db:
            code = confirm.make(db, "lhcb", "alice")
        assert code is not None
        page.get_by_label("The code").fill(code.code)
        page.get_by_role("button", name="Confirm").click()
        page.get_by_role("status").wait_for()
        assert wanted()["mail"] == "alice@example.org"
        assert alice.complaints == []
        alice.close()


@pytest.mark.parametrize("group", ["fits/<2026>", ".."])
def test_groups_of_jobs_are_watched_and_other_logins_ended(pages: Pages, visit: Visit, group: str) -> None:
    alice = visit()
    pages.ticket()
    with session() as db:
        wishes.change(db, wishes.Change(webhook="https://chat.example.org"), by=a_user())
        a_job(db, job_group=group)
    page = alice.goto("/ui/settings")
    page.get_by_label("Job group").fill(group)
    page.get_by_role("button", name="Tell me", exact=True).click()
    page.get_by_role("status").wait_for()
    assert wanted()["groups"] == [group]
    page.get_by_role("button", name="Tell me nothing of").click()
    page.get_by_role("status").wait_for()
    assert (wanted()["groups"], wanted()["webhook"]) == ([], "https://chat.example.org")
    page.get_by_text("End login").first.click()
    page.get_by_role("button", name="End login").first.click()
    page.locator("main").wait_for()
    with reading() as db:
        assert len(sessions.refresh_tokens(db, a_user())) == 1


def test_who_manages_proxies_sees_only_his_own_logins_here(pages: Pages) -> None:
    mine, _ = pages.ticket(), pages.ticket("bob")
    with reading() as db:
        alice = find(db, mine).user
        manager = replace(alice, properties=alice.properties | {PROXIES})
        assert len(sessions.refresh_tokens(db, manager)) == 2
        assert [one.sub for one in sessions.own(db, manager)] == ["lhcb:subject-of-alice"]


def test_the_login_of_this_browser_is_the_one_that_says_so(pages: Pages, visit: Visit) -> None:
    pages.ticket("alice", "operators")
    alice = visit()
    pages.ticket("alice", "operators")
    page = alice.goto("/ui/settings")
    marked = page.locator("li").filter(has_text="this browser")
    assert (page.locator("li:has(code)").count(), marked.count()) == (3, 1)
    assert "group:user" in marked.inner_text()
    alice.picture("settings")
    alice.is_accessible()
    marked.locator("summary").click()
    marked.get_by_role("button").click()
    page.wait_for_url("**/ui/login?**")
    with reading() as db:
        assert len(sessions.refresh_tokens(db, a_user())) == 2
