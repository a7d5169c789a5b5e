"""Groups of jobs: their ends are told to who asked, and that they are on hold to who wants to know."""

from sqlalchemy import select, update

from diracx_tasks.core.database import reading, session, utc_now
from diracx_tasks.jobs import control
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Job
from diracx_tasks.notices import tasks
from tests.api.caller import Api
from tests.api.stores import installation, migrated
from tests.builders import a_job, a_user
from tests.unit.notices.receivers import Hook, Post
from tests.unit.notices.told import by_mail, shown, told, wish

__all__ = ["installation", "migrated"]


def jobs(*statuses: Status, group: str = "muons/2026", owner: str = "alice") -> list[int]:
    """Jobs of a group."""
    with session() as db:
        return [a_job(db, status, job_group=group, owner=owner) for status in statuses]


def test_the_end_of_a_group_is_told_once_when_its_last_job_has_ended(api: Api, post: Post) -> None:
    by_mail(api, post)
    *_, last = jobs(Status.DONE, Status.FAILED, Status.WAITING)
    jobs(Status.WAITING, owner="bob")
    answer = api.post("/api/notices/groups/muons%2F2026")
    assert (answer.status_code, answer.json()["groups"]) == (200, ["muons/2026"]), answer.text
    assert tasks.look_at_groups.run() == "0 of 1 ended"
    with session() as db:
        control.kill_all(db, [last], "enough")
    assert tasks.look_at_groups.run() == "1 of 1 ended"
    assert tasks.look_at_groups.run() == "0 of 0 ended"
    told()
    (text,) = post.texts()
    assert text.startswith('Failed: jobs of the group "muons/2026"\n')
    assert "    jobs: 1 done, 1 failed, 1 killed\n" in text, "bob's is no job of hers"
    assert shown(api)["groups"] == []


def test_a_group_without_jobs_of_ones_own_is_not_watched(api: Api, hook: Hook) -> None:
    jobs(Status.WAITING, owner="bob")
    assert api.post("/api/notices/groups/muons%2F2026").status_code == 404
    wish(api, webhook=hook.url)
    answer = api.post("/api/notices/groups/muons%2F2026")
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        "alice has no jobs in the group 'muons/2026'",
    )
    assert api.post("/api/notices/groups/muons%2F2026", by=a_user("bob")).status_code == 404


def test_a_group_may_be_watched_no_more(api: Api, hook: Hook) -> None:
    jobs(Status.WAITING)
    wish(api, webhook=hook.url)
    for _ in range(2):
        assert api.post("/api/notices/groups/muons%2F2026").json()["groups"] == ["muons/2026"]
    assert api.ask("DELETE", "/api/notices/groups/muons%2F2026").json()["groups"] == []
    assert tasks.look_at_groups.run() == "0 of 0 ended"


def test_jobs_that_are_on_hold_for_an_hour_are_told_once_a_day(api: Api, post: Post) -> None:
    by_mail(api, post)
    held = jobs(Status.RECEIVED, Status.RECEIVED, group="muons")
    words = {"status": Status.CHECKING, "application_status": "On Hold: no replica of /lhcb/x is left"}
    with session() as db:
        db.execute(update(Job).values({**words, "updated_at": utc_now(-60)}))
    assert tasks.look_at_held.run() == "0 groups of jobs are on hold for long"
    with session() as db:
        db.execute(update(Job).values(updated_at=utc_now(-4000)))
    assert tasks.look_at_held.run() == "1 groups of jobs are on hold for long"
    assert tasks.look_at_held.run() == "0 groups of jobs are on hold for long"
    told()
    (text,) = post.texts()
    assert text.startswith('Needs you: jobs on hold "muons"\n')
    first = f"On Hold: no replica of /lhcb/x is left (the first is job {held[0]})"
    assert f"reason: 2 jobs have been on hold for more than 60 min: {first}" in text
    with reading() as db:
        assert set(db.scalars(select(Job.status))) == {"Checking"}


def test_who_does_not_want_to_know_what_needs_him_is_not_told_of_jobs_on_hold(api: Api, post: Post) -> None:
    by_mail(api, post, events=["failed"])
    jobs(Status.RECEIVED)
    with session() as db:
        db.execute(update(Job).values(status=Status.CHECKING, updated_at=utc_now(-4000)))
    assert tasks.look_at_held.run() == "0 groups of jobs are on hold for long"
