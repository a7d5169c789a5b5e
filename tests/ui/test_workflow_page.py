"""One workflow in a browser: graph, steps, what can be done with it, and who may see it."""

from collections.abc import Callable

import pytest

from diracx_api.ui import workflow_head, workflow_steps
from tests.ui.pi import Pi
from tests.ui.visitor import Pages, Visitor

Visit = Callable[..., Visitor]
TABS = ("", "/timeline", "/log", "/outputs", "/inputs", "/resources", "/events", "/files", "/steps/simulate")


def test_the_page_follows_a_workflow_and_keeps_the_focus(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow_head, "EVERY", 0.5)
    pi = Pi(title="darts").half_way()
    alice = visit()
    page = alice.goto(pi.at)
    assert page.title() == "Running 7/8 · main.cwl"
    alice.picture("workflow-running")
    step = page.get_by_role("link", name="simulate, Running 7/8, scatter, tool")
    step.focus()
    pi.end(pi.jobs("simulate", 7), {"count": 3})
    page.get_by_role("link", name="simulate, Done 8/8, scatter, tool").wait_for()
    assert page.title().startswith("Running 8/")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("simulate, Done")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{pi.at}/steps/simulate")


def test_a_failed_workflow_says_why_and_is_done_again(visit: Visit) -> None:
    pi = Pi().advance()
    pi.run(pi.jobs("simulate"))
    pi.end(pi.jobs("simulate", *range(7)), {"count": 3})
    pi.end(pi.jobs("simulate", 7), error="no such file: darts.txt")
    alice = visit()
    page = alice.goto(pi.at)
    assert page.title().startswith("Failed 7/8")
    assert "no such file: darts.txt (job 8)" in page.get_by_role("alert").inner_text()
    assert page.get_by_role("link", name="gather, Not run, tool").is_visible()
    alice.picture("workflow-failed")
    page.get_by_text("Rerun what failed…").click()
    assert "1 failed or killed job and what comes after" in page.inner_text(".sure")
    page.get_by_role("button", name="Rerun what failed").click()
    assert "goes on: what failed is done again" in page.get_by_role("status").inner_text()
    pi.advance()
    assert "[7] job 9" in alice.goto(f"{pi.at}/timeline").locator("svg").inner_html()
    assert "[7] job 8, attempt 1: Failed" in page.locator("svg").inner_html()


def test_killing_names_what_it_ends_and_needs_the_key_of_the_form(visit: Visit, pages: Pages) -> None:
    pi = Pi().half_way()
    alice = visit()
    page = alice.goto(pi.at)
    refused = page.request.post(f"{pages.url}{pi.at}/kill", form={"form_key": "wrong"})
    assert (refused.status, "earlier login" in refused.text()) == (403, True)
    page.get_by_text("Kill workflow…").click()
    assert "“main.cwl” with 1 running job and 0 waiting jobs?" in page.inner_text(".sure")
    page.get_by_role("button", name="Kill workflow", exact=True).click()
    assert "is Killing" in page.get_by_role("status").inner_text()
    pi.advance()
    assert alice.goto(pi.at).title().startswith("Killed")
    bob = visit("bob").goto(pi.at)
    assert bob.get_by_text("Rerun what failed").count() == 0


def test_the_elements_of_a_scatter_are_filtered_and_turned_page_by_page(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow_steps, "PER_PAGE", 3)
    pi = Pi().half_way()
    alice = visit()
    page = alice.goto(f"{pi.at}/steps/simulate")
    seen: list[str] = []
    while True:
        seen += page.locator("tbody th").all_inner_texts()
        if not page.get_by_role("link", name="Next").count():
            break
        alice.follow("Next")
    assert seen == [f"simulate[{slot}]" for slot in range(8)]
    page = alice.goto(f"{pi.at}/steps/simulate?state=Going+on")
    (row,) = page.locator("tbody tr").all_inner_texts()
    assert "simulate[7]\tRunning\t8\t1" in row and "LCG.CERN.ch" in row
    page = alice.goto(f"{pi.at}/steps/simulate?state=Failed")
    assert "No element is Failed; 8 without this filter" in page.inner_text("main")
    assert "it waits for the steps before it" in alice.goto(f"{pi.at}/steps/gather").inner_text("main")


def test_events_and_files_tell_how_it_came_about(visit: Visit) -> None:
    pi = Pi().half_way()
    alice = visit()
    assert "submitted by alice" in alice.goto(f"{pi.at}/events").inner_text("tbody")
    page = alice.goto(f"{pi.at}/files")
    assert "baseCommand: 'true'" in page.inner_text("pre")
    assert page.request.get(f"{page.url}?name=../../etc/passwd").status == 404
    found = page.request.get(page.url.replace("files", "json")).json()
    assert sorted(step["path"] for step in found["steps"]) == ["check", "check/look", "gather", "simulate"]
    assert page.request.get(page.url.replace("files", "crate")).body().startswith(b"PK")


def test_nobody_of_another_vo_sees_it(visit: Visit, pages: Pages) -> None:
    pi = Pi().half_way()
    stranger = visit(ticket=pages.ticket(vo="belle"))
    more = ("/json", "/crate", "/graph.svg", "/log/live", "/steps/simulate")
    for tab in (*TABS, *more):
        answer = stranger.page.request.get(f"{pages.url}{pi.at}{tab}")
        assert answer.status == 404, tab
        assert f"there is no workflow {pi.workflow_id} in belle" in answer.text()


def test_every_page_is_read_without_javascript(visit: Visit) -> None:
    pi, plain = Pi().half_way(), visit(java_script_enabled=False)
    for tab in TABS:
        assert "7/8" in plain.goto(f"{pi.at}{tab}").inner_text("main")


def test_every_page_fits_a_phone_and_is_legible_in_the_dark(visit: Visit) -> None:
    pi, phone = Pi().half_way(), visit(viewport={"width": 390, "height": 800}, color_scheme="dark")
    for tab in TABS:
        phone.goto(f"{pi.at}{tab}")
        phone.fits()
        phone.is_accessible()
        phone.picture(f"workflow-phone{tab.replace('/', '-')}")
    alice = visit()
    alice.goto(pi.at)
    alice.is_accessible()
