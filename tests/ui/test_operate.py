"""Operators' pages in a browser: each is opened, each button is pressed, and the verbs say what it did."""

import os
import socket
from contextlib import closing

import pytest

from diracx_api.ui.operate import dead, tasks
from diracx_tasks.app import app as celery
from diracx_tasks.core.database import reading, session
from diracx_tasks.engine import dead_letters, overview, repairs, schedules
from diracx_tasks.engine.locks import lease
from tests.builders import environment
from tests.servers.ports import free_port
from tests.ui.operating import KINDS, Visit, olga, press, said, schedule, sure
from tests.ui.visitor import Visitor
from tests.work import KEY, NAME, Work, ask, die, run, work

__all__ = ["olga", "schedule", "work"]
PAGES = ("", "/queues", "/tasks", "/dead", "/schedule", "/schedule/jobs.optimize", "/locks")
ENTRY = "/ui/operate/schedule/jobs.optimize"
TASK = "/ui/operate/task/job-1.verb"


def entry(name: str = "jobs.optimize") -> overview.Row:
    with reading() as db:
        return overview.schedule_row(schedules.find(db, name))


def letters(state: str | None = dead_letters.DEAD) -> dict[str, str]:
    with reading() as db:
        return {row["key"]: row["state"] for row in overview.dead(db, state=state)}


def waiting() -> list[str]:
    with reading() as db:
        return [row["key"] for row in overview.page(db, state="Waiting")]


def test_the_overview_says_what_waits_died_and_should_never_be(
    olga: Visitor, work: Work, schedule: None
) -> None:
    ask(1)
    die(work, 2)
    with session() as db:
        repairs.note(db, {"waiting_not_queued": 3})
        schedules.set_state(db, "jobs.optimize", "Paused")
    page = olga.goto("/ui/operate")
    olga.picture("operate")
    olga.is_accessible()
    tiles = page.locator(".tile").all_inner_texts()
    assert "no worker answers" in tiles[0] and "no beat runs" in tiles[3]
    assert tiles[1].split("\n")[:2] == ["In the outbox", "1"]
    assert tiles[2].split("\n")[:2] == ["Dead letters", "1"]
    assert page.locator("tr", has_text="waiting_not_queued").inner_text().split() == [
        "waiting_not_queued",
        "3",
    ]
    assert page.locator("tr", has_text="jobs.optimize").locator(".s-paused").is_visible()
    assert page.title() == "1 dead · DiracX"


def test_tasks_are_found_by_the_address_and_one_is_told_with_its_parent_and_errors(
    olga: Visitor, work: Work
) -> None:
    ask(1, parent="workflow-42.advance")
    run()
    die(work, 2)
    ask(3, parent=KEY)
    page = olga.goto("/ui/operate/tasks")
    olga.picture("operate-tasks")
    olga.is_accessible()
    assert page.locator("tbody tr").count() == 5
    page.get_by_label("State", exact=True).select_option("Dead")
    page.get_by_role("button", name="Show").click()
    assert "state=Dead" in page.url
    assert page.locator("tbody tr").count() == 1
    olga.goto(f"/ui/operate/tasks?state=Failed&task={NAME}&subject=job-9")
    assert "No task matches state = Failed and task = subject.verb and about = job-9" in page.inner_text(
        "main"
    )
    page = olga.goto(TASK)
    olga.picture("operate-task")
    olga.is_accessible()
    assert page.title() == "Done · job-1.verb · DiracX"
    assert page.get_by_role("link", name="workflow-42.advance").is_visible()
    assert page.get_by_role("link", name="job-3.verb").is_visible()
    assert page.get_by_role("link", name="job-1", exact=True).get_attribute("href") == "/ui/jobs/1"
    page = olga.goto("/ui/operate/task/job-2.verb")
    page.locator("summary", has_text="ValueError: no luck").first.click()
    assert "Traceback" in page.inner_text("details[open] pre")


def test_of_very_many_tasks_that_wait_it_is_said_how_many_and_the_way_to_those_that_have_ended(
    olga: Visitor, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "PER_PAGE", 3)
    for number in range(1, 6):
        ask(number)
    die(work, 9)
    page = olga.goto("/ui/operate/tasks")
    assert page.locator("tbody tr").count() == 3
    assert "the oldest 3 of 5 that wait or run" in page.inner_text("caption")
    olga.is_accessible()
    olga.follow("What has ended")
    assert page.locator("tbody tr").count() == 3 and page.locator("td .s-waiting").count() == 0
    assert "job-9.verb" in page.inner_text("tbody")
    page = olga.goto(f"/ui/operate/tasks?state=Waiting&task={NAME}")
    assert "the oldest 3 of 5 that wait or run" in page.inner_text("caption")
    assert page.get_by_role("link", name="What has ended").count() == 0
    page = olga.goto("/ui/operate/tasks?state=Waiting&subject=job-1")
    assert "the oldest" not in page.inner_text("caption")


def test_a_task_is_run_revoked_and_stopped(olga: Visitor, work: Work) -> None:
    die(work)
    page = olga.goto(TASK)
    press(page, "/ui/operate/task-retry")
    assert said(page) == "job-1.verb runs again."
    assert waiting() == [KEY] and letters() == {}
    assert "job-1.verb" in sure(page, "/ui/operate/task-revoke")
    assert said(page) == "job-1.verb is revoked."
    assert waiting() == []
    ask(2)
    page = olga.goto("/ui/operate/task/job-2.verb")
    assert "where it runs" in sure(page, "/ui/operate/task-stop")
    assert waiting() == []


def test_dead_letters_are_retried_dropped_and_retried_all_of_one_task(olga: Visitor, work: Work) -> None:
    for number in range(1, 5):
        die(work, number)
    page = olga.goto("/ui/operate/dead")
    olga.picture("operate-dead")
    olga.is_accessible()
    page.locator("#error-4 summary").click()
    assert "Traceback" in page.inner_text("#error-4 pre")
    press(page, "/ui/operate/dead/1/retry")
    assert said(page) == "job-1.verb runs again."
    assert "dead letter 2 (job-2.verb)" in sure(page, "/ui/operate/dead/2/drop")
    assert letters(None) == {
        "job-1.verb": "Retried",
        "job-2.verb": "Dropped",
        "job-3.verb": "Dead",
        "job-4.verb": "Dead",
    }
    assert "Have 2 dead letters of subject.verb run again" in sure(page, f"/ui/operate/dead/of/{NAME}/retry")
    assert said(page) == "2 dead letters of subject.verb run again."
    assert letters() == {} and waiting() == ["job-1.verb", "job-3.verb", "job-4.verb"]
    assert "No task is dead" in page.inner_text("main")
    page = olga.goto("/ui/operate/dead?resolved=true")
    assert page.locator("td", has_text="by alice").count() == 4
    page = olga.goto("/ui/operate/dead/2")
    olga.picture("operate-letter")
    assert page.title() == "Dropped · letter 2 · DiracX"
    assert page.locator("h2", has_text="Do").count() == 0


def test_a_question_stays_open_while_the_page_renews_itself(
    olga: Visitor, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead, "EVERY", 1)
    die(work, 1)
    page = olga.goto("/ui/operate/dead")
    summary = page.locator("#letter-1 details.act > summary")
    summary.focus()
    page.keyboard.press("Enter")
    page.locator("#letter-1 .sure").wait_for()
    die(work, 2)
    page.locator("#letter-2").wait_for()
    assert page.locator("#letter-1 .sure").is_visible()
    assert summary.evaluate("one => one === document.activeElement")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator(".said").wait_for()
    assert letters() == {"job-2.verb": "Dead"}


def test_one_letter_is_told_and_acted_on(olga: Visitor, work: Work) -> None:
    die(work, 1)
    die(work, 2)
    page = olga.goto("/ui/operate/dead/1")
    olga.is_accessible()
    assert page.locator("details summary", has_text="Try").count() == 3
    press(page, "/ui/operate/dead/1/retry")
    page = olga.goto("/ui/operate/dead/2")
    sure(page, "/ui/operate/dead/2/drop")
    assert letters(None) == {"job-1.verb": "Retried", "job-2.verb": "Dropped"}


def test_an_entry_of_the_schedule_is_paused_resumed_tried_run_and_timed(
    olga: Visitor, schedule: None
) -> None:
    page = olga.goto("/ui/operate/schedule?name=OPTIM")
    olga.picture("operate-schedule")
    olga.is_accessible()
    assert page.locator("tbody tr").count() == 1
    assert "Pause jobs.optimize?" in sure(page, f"{ENTRY}/state")
    assert said(page) == "jobs.optimize is paused." and entry()["state"] == "Paused"
    olga.picture("operate-entry")
    olga.is_accessible()
    press(page, f"{ENTRY}/state")
    assert said(page) == "jobs.optimize runs at its times." and entry()["state"] == "On"
    page.get_by_role("button", name="Dry run").click()
    assert entry()["state"] == "DryRun"
    page.get_by_role("button", name="Run now").click()
    assert waiting() == ["jobs.optimize"]
    page.get_by_label("As", exact=True).select_option("cron")
    page.get_by_label("Value").fill("0 3 * * *")
    page.get_by_role("button", name="Change the timing of jobs.optimize").click()
    assert said(page) == "jobs.optimize is due: cron 0 3 * * * (operator)."
    assert entry()["timing"] == "cron 0 3 * * *"
    page.get_by_role("button", name="As code and configuration say").click()
    assert entry()["origin"] == "code"
    page.get_by_label("Value").fill("soon")
    page.get_by_role("button", name="Change the timing of jobs.optimize").click()
    assert "'soon' is no number of seconds" in page.inner_text("main")
    olga.complaints.clear()


def test_a_lock_is_seen_and_released_and_limits_say_how_much_is_used(olga: Visitor, work: Work) -> None:
    ask()
    run()
    with lease("job:17") as given:
        assert given
        page = olga.goto("/ui/operate/locks")
        olga.picture("operate-locks")
        olga.is_accessible()
        assert "Take the lock job:17 from 1 holder?" in sure(page, "/ui/operate/locks/release")
        assert said(page) == "job:17 was taken from 1 holder."
        assert overview.held_locks() == []
    used = page.locator("tr", has_text="50 in 3600 s").locator("td").all_inner_texts()
    assert used == [NAME, "50 in 3600 s", NAME, "1"]


@pytest.mark.parametrize("is_silent", [False, True], ids=["refuses", "is silent"])
def test_a_broker_that_is_away_is_said_so(
    olga: Visitor, is_silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Five seconds otherwise.
    monkeypatch.setitem(celery.conf["broker_transport_options"], "socket_timeout", 0.5)
    with closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        port = deaf.getsockname()[1] if is_silent else free_port()
        stated = {name: value for name, value in os.environ.items() if name.startswith("DIRACX_")}
        with environment(**{**stated, "DIRACX_BROKER_URL": f"redis://127.0.0.1:{port}/0"}):
            page = olga.goto("/ui/operate/queues")
            assert "the broker does not answer" in page.inner_text('[role="alert"]')
            assert page.title() == "Broker away · DiracX"
            if not is_silent:
                olga.picture("operate-away")
                page = olga.goto("/ui/operate")
                assert "the broker is away" in page.inner_text(".tile >> nth=0")
            olga.goto("/ui/operate/tasks")


def test_who_may_not_operate_is_told_so_and_finds_no_link(visit: Visit) -> None:
    alice = visit("alice", "user")
    page = alice.goto("/ui/jobs")
    assert page.get_by_role("link", name="Operate").count() == 0
    for path in PAGES:
        answer = page.goto(f"{alice.pages.url}/ui/operate{path}")
        assert answer is not None and answer.status == 403
        assert "a service administrator" in page.inner_text('[role="alert"]')
    alice.complaints.clear()


def test_the_pages_are_read_on_a_phone_in_the_dark_and_without_javascript(
    visit: Visit, olga: Visitor, work: Work, schedule: None
) -> None:
    ask(1)
    die(work, 2)
    phone, dark, plain = (visit("alice", "operators", **options) for options in KINDS)
    for path in (*PAGES, "/task/job-2.verb", "/dead/1"):
        assert phone.goto(f"/ui/operate{path}").locator("h1").is_visible()
        phone.picture(f"operate{path.replace('/', '-')}-phone")
        phone.fits()
    dark.goto("/ui/operate/dead")
    dark.picture("operate-dead-dark")
    dark.is_accessible()
    page = plain.goto("/ui/operate/dead")
    assert "job-2.verb" in sure(page, "/ui/operate/dead/1/drop")
    assert letters() == {}
