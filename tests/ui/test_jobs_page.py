"""The list of jobs in a browser."""

from collections.abc import Callable

import pytest

from diracx_api.ui import jobs
from diracx_tasks.core.database import session
from diracx_tasks.jobs.states import Status
from tests.builders import a_job, claim
from tests.ui.visitor import Visitor

Visit = Callable[..., Visitor]


def test_jobs_are_filtered_by_the_address_and_an_empty_list_says_why(visit: Visit) -> None:
    with session() as db:
        for status in (Status.WAITING, Status.RUNNING, Status.FAILED):
            a_job(db, status, name=f"a {status} <b>job</b>")
    alice = visit()
    page = alice.goto("/ui/jobs")
    assert page.locator("tbody tr").count() == 3
    assert page.get_by_text("a Running <b>job</b>").is_visible()
    alice.picture("jobs")
    alice.is_accessible()
    page.get_by_label("Status", exact=True).select_option("Failed")
    page.get_by_role("button", name="Show").click()
    assert "status=Failed" in page.url
    assert page.locator("tbody tr").count() == 1
    alice.goto("/ui/jobs?status=Done")
    assert "No job matches Status = Done" in page.inner_text("main")
    assert "3 jobs without this filter" in page.inner_text("main")
    page.get_by_role("button", name="Show").click()
    assert "status=Done" in page.url


def test_a_page_renews_itself_and_keeps_the_focus(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "EVERY", 0.5)
    with session() as db:
        job_id = a_job(db, Status.WAITING)
    page = visit().goto("/ui/jobs")
    link = page.get_by_role("link", name=str(job_id), exact=True)
    link.focus()
    with session() as db:
        claim(db, job_id)
    page.locator(f"#job-{job_id} .s-matched").wait_for()
    assert link.evaluate("one => one === document.activeElement")
    assert page.title() == "Jobs · DiracX"


def test_a_page_rests_while_nobody_looks(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "EVERY", 0.2)
    alice = visit()
    alice.page.add_init_script("Object.defineProperty(document, 'hidden', {get: () => window.isAway})")
    asked: list[str] = []
    alice.page.on("request", lambda one: asked.append(one.url))
    page = alice.goto("/ui/jobs")
    with page.expect_response("**/ui/jobs"):
        page.evaluate("window.isAway = false")
    page.evaluate("window.isAway = true")
    page.wait_for_timeout(300)
    before = len(asked)
    page.wait_for_timeout(1500)
    assert len(asked) == before
    with page.expect_response("**/ui/jobs"):
        page.evaluate("window.isAway = false")
