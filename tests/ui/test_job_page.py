"""The page of one job in a browser."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, update

from diracx_api.ui import job as job_page
from diracx_tasks.auth.visits import find
from diracx_tasks.core.database import reading, session
from diracx_tasks.jobs import access, control
from diracx_tasks.jobs.states import Status
from diracx_tasks.sandboxes.tables import Sandbox
from tests.builders import HEX, a_job, a_pilot, a_user
from tests.ui.visitor import Pages, Visitor

Visit = Callable[..., Visitor]
BOB = a_user("bob")


def a_running_job(pages: Pages) -> int:
    """One whose pilot has told three times what it uses and prints."""
    with session() as db:
        job_id = a_job(db, Status.RUNNING, name="fit <b>masses</b>")
    for number in range(3):
        sent = {
            "Attempt": 1,
            "MemoryUsed": 100.0 + number,
            "CPUConsumed": 10.0 * number,
            "StandardOutput": f"event {number} <script>alert(1)</script>",
        }
        pages.ask("PATCH", "/api/jobs/heartbeat", {str(job_id): sent}, by=a_pilot())
    return job_id


def test_a_running_job_says_where_it_is_and_what_it_prints_and_uses(pages: Pages, visit: Visit) -> None:
    job_id = a_running_job(pages)
    alice = visit()
    page = alice.goto(f"/ui/jobs/{job_id}")
    assert page.title() == f"Running · job {job_id} · DiracX"
    text = page.inner_text("main")
    assert "It runs: pilot stamp-1 at LCG.CERN.ch on node" in text
    assert "event 2 <script>alert(1)</script>" in page.inner_text("#output")
    assert "fit <b>masses</b>" in page.inner_text("h1")
    assert page.locator(".spark title").all_text_contents()[0].startswith("Memory, ")
    alice.picture("job")
    alice.is_accessible()
    page.set_viewport_size({"width": 390, "height": 844})
    alice.fits()
    alice.picture("job-narrow")


def test_heartbeats_are_read_again_when_there_is_a_new_one(pages: Pages, visit: Visit) -> None:
    job_id, read = a_running_job(pages), []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "Usage" in statement and "JobHeartbeats" in statement and statement.startswith("SELECT"):
            read.append(statement)

    alice = visit()
    event.listen(Engine, "before_cursor_execute", note)
    try:
        for _ in range(3):
            page = alice.goto(f"/ui/jobs/{job_id}")
            assert "3 heartbeats, at most 102 MB" in page.locator(".spark title").all_text_contents()[0]
        assert len(read) == 1
        sent = {"Attempt": 1, "MemoryUsed": 400.0}
        pages.ask("PATCH", "/api/jobs/heartbeat", {str(job_id): sent}, by=a_pilot())
        page = alice.goto(f"/ui/jobs/{job_id}")
        assert "4 heartbeats, at most 400 MB" in page.locator(".spark title").all_text_contents()[0]
        assert len(read) == 2
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_the_page_of_a_job_changes_with_it_until_it_has_ended(
    pages: Pages, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_page, "RUNNING_EVERY", 0.3)
    job_id = a_running_job(pages)
    page = visit(color_scheme="dark").goto(f"/ui/jobs/{job_id}")
    with session() as db:
        control.kill(db, job_id, by=a_user())
    page.locator("h1 .s-killed").wait_for()
    assert page.title().startswith("Killed · ")
    assert page.locator("[id^=poll-]").count() == 0


def test_a_job_is_killed_run_again_and_deleted_after_a_question(pages: Pages, visit: Visit) -> None:
    job_id = a_running_job(pages)
    alice = visit()
    page = alice.goto(f"/ui/jobs/{job_id}")
    for label, words, then in (
        ("Kill", f"Kill job {job_id}, which is Running?", "Killed"),
        ("Reschedule", f"Run job {job_id} again", "Received"),
        ("Delete", f"Delete job {job_id}, which is Received", "Deleted"),
    ):
        page.get_by_text(f"{label}…").click()
        assert page.get_by_text(words).is_visible()
        page.get_by_role("button", name=label, exact=True).click()
        page.locator("[role=status]").wait_for()
        assert page.locator("h1 .badge").inner_text() == then
    assert page.get_by_role("button", name="Delete").count() == 0


def test_a_colleague_sees_no_buttons_and_cannot_send_the_form_by_hand(pages: Pages, visit: Visit) -> None:
    job_id = a_running_job(pages)
    assert visit("bob").goto(f"/ui/jobs/{job_id}").get_by_text("Kill…").count() == 0
    ticket = pages.ticket("bob")
    with session() as db:
        key = find(db, ticket).form_key
    status, words = pages.send(f"/ui/jobs/{job_id}/kill", ticket, form_key=key)
    assert status == 403 and f"job {job_id} belongs to alice" in words


def test_a_form_without_the_visits_key_changes_nothing(pages: Pages) -> None:
    job_id = a_running_job(pages)
    for form in ({}, {"form_key": "0" * 64}, {"form_key": "ü"}):
        status, words = pages.send(f"/ui/jobs/{job_id}/kill", pages.ticket(), **form)
        assert status == 403 and "load the page again" in words
    assert pages.send(f"/ui/jobs/{job_id}/kill", "no ticket")[1].startswith("/ui/login?")
    with session() as db:
        assert access.hold_one(db, job_id, by=a_user()).status == Status.RUNNING


def test_a_job_of_another_vo_is_not_there(pages: Pages) -> None:
    job_id = a_running_job(pages)
    ticket = pages.ticket("bob", vo="belle")
    for path in (f"/ui/jobs/{job_id}", f"/ui/jobs/{job_id}/details"):
        status, words = pages.send(path, ticket, method="GET")
        assert status == 404 and f"there is no job {job_id} in belle" in words


def test_details_can_be_read_without_a_script_and_sandboxes_fetched(pages: Pages, visit: Visit) -> None:
    job_id = a_running_job(pages)
    body = {"checksum_algorithm": "sha256", "checksum": HEX, "size": 3, "format": "tar.zst"}
    grant = pages.ask("POST", "/api/jobs/sandbox", body, by=a_user())
    pages.upload(grant, b"hey")
    pfn = grant["pfn"].partition("|")[2]
    pages.ask("PATCH", f"/api/jobs/{job_id}/sandbox/output", grant["pfn"], by=a_user())
    with session() as db:
        db.execute(update(Sandbox).values(accessed_at=datetime(2020, 1, 1)))
    alice = visit(java_script_enabled=False)
    page = alice.goto(f"/ui/jobs/{job_id}/details")
    alice.picture("job-details")
    assert "memory (MB)" in page.get_by_role("region", name="What it asks for").inner_text()
    page.set_viewport_size({"width": 390, "height": 844})
    alice.fits()
    with page.expect_download() as fetched:
        page.get_by_role("link", name=re.compile("sha256:")).click()
    assert fetched.value.path().read_bytes() == b"hey"
    with reading() as db:
        assert db.scalars(select(Sandbox.accessed_at)).one().year > 2020
    status, _ = pages.send(f"/ui/jobs/{job_id}/sandbox?pfn={pfn}x", pages.ticket("bob"), method="GET")
    assert status == 404


def test_the_keyboard_alone_reaches_and_presses_everything(
    pages: Pages, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_page, "RUNNING_EVERY", 0.3)
    job_id = a_running_job(pages)
    page = visit().goto(f"/ui/jobs/{job_id}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").startswith("Kill"):
            break
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    # The page renews itself meanwhile; what was opened stays open, and the focus where it is.
    page.wait_for_timeout(1000)
    assert page.evaluate("document.activeElement.textContent") == "Kill"
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.locator("h1 .badge").inner_text() == "Killed"
