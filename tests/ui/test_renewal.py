"""Pages that renew themselves, while the server or what is before it does not answer."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from diracx_api.ui.operate import dead
from tests.ui.operating import olga
from tests.ui.visitor import Visitor
from tests.work import Work, die, work

__all__ = ["olga", "work"]
DEAD = "/ui/operate/dead"


@pytest.fixture
def page(olga: Visitor, work: Work, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page that renews itself each second, with one dead letter."""
    monkeypatch.setattr(dead, "EVERY", 1)
    die(work, 1)
    yield olga.goto(DEAD)
    # The browser itself complains of each answer that was none.
    olga.complaints.clear()


@pytest.mark.parametrize("status", [500, 502, 503, None])
def test_a_page_goes_on_renewing_itself_after_answers_that_were_none(
    page: Page, olga: Visitor, work: Work, status: int | None
) -> None:
    def fail(route: Route) -> None:
        if status is None:
            route.abort()
        else:
            route.fulfill(status=status, content_type="text/html", body="<h1>Bad Gateway</h1>")

    told = page.locator("#stale")
    expect(told).to_be_empty()
    page.route(f"**{DEAD}", fail)
    expect(told).to_contain_text(f"answers {status}" if status else "does not answer")
    expect(told).to_contain_text(re.compile(r"since \d\d:\d\d:\d\d UTC"))
    with page.expect_request(f"**{DEAD}"):
        pass
    assert page.locator("#letter-1").is_visible() and "Bad Gateway" not in page.inner_text("body")
    olga.is_accessible()
    die(work, 2)
    page.unroute(f"**{DEAD}")
    page.locator("#letter-2").wait_for()
    expect(told).to_be_empty()


def test_what_is_not_there_any_more_is_said_and_not_asked_for_again(page: Page) -> None:
    page.route(
        f"**{DEAD}", lambda one: one.fulfill(status=404, content_type="text/html", body="<h1>Gone</h1>")
    )
    page.get_by_role("heading", name="Gone").wait_for()
    assert page.locator("[hx-trigger]").count() == 0 and page.locator("#stale").inner_text() == ""
