"""What somebody has written is not lost when the login has ended meanwhile."""

import os
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
import urllib3
from playwright.sync_api import Page
from sqlalchemy import text

from diracx_api.ui.router import FORM_KEY, KEPT
from diracx_tasks.auth import refresh
from diracx_tasks.core import database, remembered
from diracx_tasks.core.database import reading, session
from diracx_tasks.workflows import listing
from tests.builders import a_user, environment
from tests.servers.ports import free_port
from tests.ui.test_login_pages import log_in
from tests.ui.test_submit_page import TOOL, a_file, drop, press
from tests.ui.visitor import Pages, Visitor

Visit = Callable[..., Visitor]
MINE = TOOL.replace("echo", "printf")


def submitted() -> int:
    # What was counted a moment ago is remembered in this process, and may be older than what was sent.
    remembered._KEPT.clear()
    with reading() as db:
        return sum(
            sum(listing.statuses(db, listing.Wanted(), by=a_user(vo=vo)).values()) for vo in ("lhcb", "belle")
        )


def write(page: Page) -> None:
    page.get_by_label("CWL of workflow.cwl").fill(MINE)
    page.get_by_label("YAML or JSON").fill("word: an hour's work\n")
    page.get_by_label("Tries after").fill("7")


def is_there(page: Page) -> bool:
    texts = [page.get_by_label(name).input_value() for name in ("CWL of", "YAML or JSON", "Tries after")]
    return texts == [MINE, "word: an hour's work\n", "7"]


@pytest.mark.parametrize("script", [True, False])
def test_a_draft_that_is_sent_after_the_login_has_ended_is_there_after_the_next_one(
    pages: Pages, visit: Visit, script: bool
) -> None:
    ticket = pages.ticket()
    alice = visit(ticket=ticket, java_script_enabled=script)
    page = alice.goto("/ui/submit")
    write(page)
    press(page, "Check")
    with session() as db:
        refresh.revoke(db, ticket)
    press(page, "Run 1 job")
    assert "Your login has ended" in page.get_by_role("alert").inner_text()
    assert is_there(page) and submitted() == 0
    alice.picture("submit-ended")
    if script:
        alice.is_accessible()
    with alice.context.expect_page() as opened:
        page.get_by_role("link", name="Log in in another window").click()
    log_in(opened.value)
    opened.value.get_by_text("You are logged in").wait_for()
    opened.value.close()
    press(page, "Check")
    # The page is of the login that has ended: it is asked once more, by whom it now is.
    assert "alice, belle / user" in page.get_by_role("alert").inner_text()
    assert is_there(page)
    press(page, "Check")
    assert page.get_by_role("alert").count() == 0 and submitted() == 0
    press(page, "Run 1 job")
    assert page.url.endswith("/ui/workflows/1") and submitted() == 1


def test_who_has_logged_in_anew_elsewhere_is_asked_once_more_and_brings_files_again(
    pages: Pages, visit: Visit
) -> None:
    alice = visit()
    page = alice.goto("/ui/submit")
    write(page)
    alice.keep(pages.ticket(group="operators"))
    drop(page, a_file("in.bin", b"\0"))
    assert "lhcb / operators" in page.get_by_role("alert").inner_text()
    assert "in.bin was not stored: bring it once more" in page.inner_text("main")
    assert is_there(page)
    press(page, "Check")
    assert page.get_by_text("It can run").is_visible()


def sent(pages: Pages, site: str | None, **form: str) -> tuple[int, str]:
    return pages.send("/ui/submit", "", site=site, **{FORM_KEY: "x", "action": "run", **form})


def test_what_another_site_sends_or_is_too_long_is_not_shown_to_a_stranger(pages: Pages) -> None:
    assert "class: CommandLineTool" in sent(pages, "same-origin", inputs=TOOL)[1]
    for site, form in (
        ("cross-site", {"inputs": TOOL}),
        ("same-site", {"inputs": TOOL}),
        ("same-origin", {"inputs": "x" * (KEPT + 1)}),
        ("same-origin", {"inputs": " "}),
        ("same-origin", {"inputs": TOOL, "retries": "often"}),
        (None, {"inputs": TOOL}),
    ):
        status, where = sent(pages, site, **form)
        assert (status, where.partition("?")[0]) == (303, "/ui/login"), site
    assert submitted() == 0


@pytest.mark.parametrize(("origin", "is_shown"), [(None, True), ("http://elsewhere.example", False)])
def test_a_browser_that_says_little_says_at_least_of_which_origin_a_draft_is(
    pages: Pages, origin: str | None, is_shown: bool
) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin or pages.url}
    body = urlencode({"inputs": TOOL, "action": "run"})
    answer = urllib3.request("POST", f"{pages.url}/ui/submit", body=body, headers=headers, redirect=False)
    assert (answer.status == 303) is not is_shown


def test_a_draft_of_a_stranger_whose_length_is_not_told_is_not_read(pages: Pages) -> None:
    body = urlencode({"inputs": TOOL}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    answer = urllib3.request(
        "POST", f"{pages.url}/ui/submit", body=iter([body]), headers=headers, redirect=False
    )
    assert answer.status == 303


def there_again(page: Page, words: str) -> None:
    """What was written is on the page, which says why nothing was done."""
    assert words in page.get_by_role("alert").inner_text()
    assert is_there(page)


@pytest.mark.parametrize("script", [True, False])
def test_a_draft_is_there_after_the_database_has_failed_amid_it(visit: Visit, script: bool) -> None:
    alice = visit(java_script_enabled=script)
    page = alice.goto("/ui/submit")
    write(page)
    press(page, "Check")
    with database.engine().begin() as connection:
        connection.execute(text("ALTER TABLE WorkflowEvents RENAME TO Away"))
    press(page, "Run 1 job")
    there_again(page, "The database is busy or away")
    assert page.get_by_role("link", name="see there first").get_attribute("href") == "/ui/workflows"
    if script:
        alice.is_accessible()
    with database.engine().begin() as connection:
        connection.execute(text("ALTER TABLE Away RENAME TO WorkflowEvents"))
    alice.complaints.clear()
    press(page, "Check")
    press(page, "Run 1 job")
    assert submitted() == 1


def test_a_draft_is_there_after_the_database_was_away_altogether(visit: Visit) -> None:
    alice = visit()
    page = alice.goto("/ui/submit")
    write(page)
    stated = {name: value for name, value in os.environ.items() if name.startswith("DIRACX_")}
    away = f"mysql+pymysql://nobody@127.0.0.1:{free_port()}/away"
    with environment(**{**stated, "DIRACX_DATABASE_URL": away}):
        press(page, "Check")
        there_again(page, "The database is busy or away")
    alice.complaints.clear()
    press(page, "Check")
    assert page.get_by_role("alert").count() == 0 and is_there(page)
    press(page, "Run 1 job")
    assert submitted() == 1


def test_a_draft_is_there_after_the_store_was_away(visit: Visit) -> None:
    alice = visit()
    page = alice.goto("/ui/submit")
    write(page)
    stated = {name: value for name, value in os.environ.items() if name.startswith("DIRACX_")}
    s3 = {"S3_ENDPOINT": f"http://127.0.0.1:{free_port()}", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b"}
    with environment(**stated, **{f"DIRACX_{name}": value for name, value in s3.items()}):
        drop(page, a_file("in.bin", b"\0"))
    there_again(page, "does not take")
    alice.complaints.clear()
    assert "in.bin was not stored: bring it once more" in page.inner_text("main")
    drop(page, a_file("in.bin", b"\0"))
    assert "in.bin is stored" in page.inner_text("main") and is_there(page)
