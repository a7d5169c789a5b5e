"""The log of a workflow in a browser: what was printed, and line by line what is being printed."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page

from diracx_tasks.jobs import listening
from tests.builders import Installation, a_pilot, bearer
from tests.ui.pi import Pi
from tests.ui.visitor import Pages, Visitor, open_visitor, serving

Visit = Callable[..., Visitor]
CLOSED = "Operations: {lhcb: {Services: {JobMonitoring: {GlobalJobsInfo: false}}}}\n"


@pytest.fixture(autouse=True)
def nobody_was_heard() -> None:
    """What this process has found out about listeners in other tests is forgotten."""
    listening._KNOWN.until = 0


def prints(page: Page, pages: Pages, job_id: int, text: str) -> None:
    """Have the pilot send a job's output."""
    sent = {str(job_id): {"Attempt": 1, "StandardOutput": text}}
    where = f"{pages.url}/api/jobs/heartbeat"
    answer = page.request.patch(where, data=sent, headers=bearer(a_pilot()))
    assert answer.ok, answer.text()


def test_lines_come_while_a_job_runs_and_are_text_only(visit: Visit, pages: Pages) -> None:
    pi = Pi().half_way()
    alice = visit()
    (job_id,) = pi.jobs("simulate", 7)
    prints(alice.page, pages, job_id, "first\n<img src=x onerror=alert(1)>\nhal")
    page = alice.goto(f"{pi.at}/log?step=simulate&job={job_id}")
    lines = page.locator("#live-lines")
    lines.get_by_text("<img src=x onerror=alert(1)>").wait_for()
    assert lines.locator("img").count() == 0
    prints(alice.page, pages, job_id, "first\n<img src=x onerror=alert(1)>\nhalf and half\n")
    lines.get_by_text("half and half").wait_for()
    assert page.locator("#live-lines > div").count() == 3
    assert page.locator("#live-lines .place").first.inner_text() == "simulate[7]"
    alice.picture("workflow-log-live")
    page.get_by_role("button", name="Pause").click()
    prints(alice.page, pages, job_id, "half and half\nlater\n")
    page.get_by_text("paused, 1 more to come").wait_for()
    assert lines.get_by_text("later").count() == 0
    page.get_by_role("button", name="Go on").click()
    lines.get_by_text("later").wait_for()
    pi.end([job_id], {"count": 3})
    lines.get_by_text("— Done —").wait_for()


def test_without_javascript_the_ends_are_there_and_an_empty_log_says_why(visit: Visit) -> None:
    pi = Pi().half_way()
    plain = visit(java_script_enabled=False)
    page = plain.goto(f"{pi.at}/log")
    assert page.get_by_text("throwing darts").count() == 8
    assert page.locator("section.card h2").first.inner_text().startswith("simulate[7] job 8")
    page = plain.goto(f"{pi.at}/log?job={pi.jobs('simulate', 3)[0]}")
    assert page.locator("pre").count() == 1
    assert "nothing was printed" in plain.goto(f"{pi.at}/log?step=gather").inner_text("main")


def test_a_log_begins_with_the_first_that_failed(visit: Visit) -> None:
    pi = Pi().advance()
    pi.run(pi.jobs("simulate"))
    for slot in (5, 2):
        pi.end(pi.jobs("simulate", slot), error="no darts left")
    pi.end(pi.jobs("simulate", 0), {"count": 3})
    page = visit(java_script_enabled=False).goto(f"{pi.at}/log")
    first, second, third = page.locator("section.card h2").all()[:3]
    assert first.inner_text().startswith("simulate[5]") and second.inner_text().startswith("simulate[2]")
    assert not third.inner_text().startswith("simulate[0]")


def test_where_jobs_are_their_owners_others_see_no_outputs(
    installation: Installation, browser: Browser
) -> None:
    with serving(installation, CLOSED) as pages:
        pi = Pi().half_way()
        bob = open_visitor(pages, browser, "bob", "user")
        for tab in ("log", "timeline", "steps/simulate"):
            page = bob.goto(f"{pi.at}/{tab}")
            assert "one sees one's own jobs only" in page.inner_text("main"), tab
            assert "throwing darts" not in page.content() and "job 8" not in page.content()
        answer = page.request.get(f"{pages.url}{pi.at}/log/live?seconds=0")
        assert (answer.status, "own jobs only" in answer.text()) == (403, True)
        bob.close()
