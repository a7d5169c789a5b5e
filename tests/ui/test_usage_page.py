"""The page of what jobs used, in a browser: plots with a table beside, filters, a file, and who sees what."""

import csv
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from diracx_tasks.accounting import snapshots
from diracx_tasks.core import config
from diracx_tasks.core.database import now, session
from diracx_tasks.jobs.states import Status
from tests.builders import Installation
from tests.ui.operating import KINDS, Visit
from tests.ui.visitor import Pages
from tests.unit.accounting.attempts import gather, measured
from tests.unit.matching.ends import waiting

ONLY_OWN = "Operations: {lhcb: {Services: {JobMonitoring: {GlobalJobsInfo: false}}}}\n"


@pytest.fixture
def jobs(installation: Installation) -> Iterator[None]:
    """Attempts of three owners at two sites, counted; and jobs that wait."""
    measured(2, owner="alice")
    measured(1, Status.FAILED, "RAL/n1", owner="bob", use={"cpu_seconds": 10.0})
    measured(1, owner="carol", vo="belle")
    measured(1, owner="=cmd()")
    waiting(3)
    gather()
    with session() as db:
        found = snapshots.look(db, now())
        assert found
        snapshots.store(db, found)
    yield


def rows(page: Page) -> list[list[str]]:
    return [row.split("\t") for row in page.locator('[aria-label="Use"] tbody tr').all_inner_texts()]


def drawn(page: Page) -> list[bool]:
    """Which plots were not only found but understood."""
    images = page.locator("img.plot")
    images.last.wait_for()
    is_there = "one => one.decode().then(() => one.naturalWidth > 300)"
    return [bool(images.nth(place).evaluate(is_there)) for place in range(images.count())]


def test_use_is_told_by_whatever_the_address_says_with_plots_beside(visit: Visit, jobs: None) -> None:
    alice = visit("alice", "admins")
    page = alice.goto("/ui/usage")
    assert drawn(page) == [True, True]
    alice.picture("usage")
    alice.is_accessible()
    assert [row[:2] for row in rows(page)] == [["CERN", "3"], ["RAL", "1"]]
    assert page.locator("tfoot tr").inner_text().split("\t")[:2] == ["All", "4"]
    assert page.locator("tr", has=page.locator(".s-waiting")).locator("td").last.inner_text() == "3"
    page.get_by_label("owner", exact=True).check()
    page.get_by_label("Plot", exact=True).select_option("attempts")
    page.get_by_label("Only site").fill("RAL")
    page.get_by_role("button", name="Show").click()
    assert "by=site&by=owner" in page.url and "measure=attempts" in page.url and "site=RAL" in page.url
    assert [row[:3] for row in rows(page)] == [["RAL", "bob", "1"]]
    assert all(drawn(page))
    alice.goto("/ui/usage?owner=nobody")
    assert "No attempt with owner = nobody ended in this time" in page.inner_text("main")
    alice.goto("/ui/usage?from=2026-02-02&to=2026-02-01")
    assert "nothing is in it" in page.inner_text('[role="alert"]')


def test_the_table_is_a_file_that_no_spreadsheet_takes_for_formulas(visit: Visit, jobs: None) -> None:
    page = visit("alice", "admins").goto("/ui/usage?by=owner&measure=attempts")
    with page.expect_download() as found:
        page.get_by_role("link", name="Table as CSV").click()
    assert found.value.suggested_filename == "usage-lhcb-owner.csv"
    table = list(csv.DictReader(found.value.path().read_text().splitlines()))
    assert {row["owner"]: row["attempts"] for row in table} == {"alice": "2", "bob": "1", "'=cmd()": "1"}
    with page.expect_download() as found:
        page.get_by_role("link", name="Day by day as CSV").click()
    assert found.value.path().read_text().startswith("at,owner,attempts,")


def test_where_a_vo_says_so_everybody_sees_his_own_use_only(visit: Visit, pages: Pages, jobs: None) -> None:
    file = pages.installation.folder / "logins.yml"
    file.write_text(file.read_text() + ONLY_OWN)
    config._source.cache_clear()
    bob = visit("bob")
    page = bob.goto("/ui/usage?by=owner")
    assert "You see your own jobs" in page.inner_text("main")
    assert [row[:2] for row in rows(page)] == [["bob", "1"]]
    text = page.evaluate("fetch('/ui/usage/csv?by=owner').then(one => one.text())")
    assert "bob" in text and "alice" not in text


def test_a_plot_that_cannot_be_drawn_says_why(visit: Visit, jobs: None) -> None:
    page = visit("alice", "admins").goto("/ui/usage")
    words = page.evaluate("fetch('/ui/usage/plot?from=1990-01-01').then(one => one.text())")
    assert "a plot has 4000 steps at most" in words


def test_use_is_read_on_a_phone_in_the_dark_and_without_javascript(visit: Visit, jobs: None) -> None:
    phone, dark, plain = (visit("alice", "admins", **options) for options in KINDS)
    phone.goto("/ui/usage")
    phone.picture("usage-phone")
    phone.fits()
    assert drawn(dark.goto("/ui/usage?by=owner&by=site"))
    dark.picture("usage-dark")
    dark.is_accessible()
    assert len(rows(plain.goto("/ui/usage"))) == 2


def test_who_may_not_see_jobs_is_told_so(visit: Visit, pages: Pages) -> None:
    file = pages.installation.folder / "logins.yml"
    file.write_text(file.read_text().replace("NormalUser, ServiceAdministrator", "ServiceAdministrator"))
    config._source.cache_clear()
    olga = visit("alice", "operators")
    answer = olga.page.goto(f"{pages.url}/ui/usage")
    assert answer is not None and answer.status == 403
    assert "a normal user or administrator of the VO" in olga.page.inner_text('[role="alert"]')
    olga.complaints.clear()
