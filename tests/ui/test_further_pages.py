"""Lists that begin with the newest are turned while rows are added: each row is seen once."""

from collections.abc import Callable

import pytest

from diracx_api.ui import jobs, pilots, workflows
from diracx_tasks.core.database import session
from diracx_tasks.jobs.states import Status
from diracx_tasks.pilots.tables import Pilot
from tests.builders import VO, a_job, a_workflow
from tests.ui.visitor import Visitor

Visit = Callable[..., Visitor]


def a_further_job() -> str:
    with session() as db:
        return str(a_job(db, Status.WAITING))


def a_further_pilot() -> str:
    with session() as db:
        found = Pilot(vo=VO, status="Failed")
        db.add(found)
        db.flush()
        found.stamp = f"stamp-{found.pilot_id}"
        return found.stamp


def a_further_workflow() -> str:
    with session() as db:
        return str(a_workflow(db).workflow_id)


@pytest.mark.parametrize(
    ("path", "subject", "a_further_one"),
    [
        ("/ui/jobs", jobs, a_further_job),
        ("/ui/jobs?status=Waiting", jobs, a_further_job),
        ("/ui/pilots", pilots, a_further_pilot),
        ("/ui/pilots?status=Failed", pilots, a_further_pilot),
        ("/ui/workflows?owner=alice", workflows, a_further_workflow),
    ],
)
def test_no_row_is_seen_twice_or_missed_when_others_are_added_between_pages(
    visit: Visit,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    subject: object,
    a_further_one: Callable[[], str],
) -> None:
    monkeypatch.setattr(subject, "PER_PAGE", 2)
    first = [a_further_one() for _ in range(5)]
    alice = visit(java_script_enabled=False)
    page = alice.goto(path)

    def shown() -> list[str]:
        return page.locator("tbody td:first-child").all_inner_texts()

    def turn(name: str) -> None:
        alice.follow(name)
        assert path.partition("?")[2] in page.url

    seen, added = shown(), []
    assert page.get_by_role("link", name="Newer").count() == 0
    while page.get_by_role("link", name="Older").count():
        added += [a_further_one() for _ in range(3)]
        turn("Older")
        seen += shown()
    assert seen == first[::-1]
    back = []
    while page.get_by_role("link", name="Newer").count():
        turn("Newer")
        back += shown()[::-1]
    assert back == [*first[1:], *added]
    alice.goto(f"{path}{'&' if '?' in path else '?'}before=1")
    assert f"There are no further {path[4:].partition('?')[0]} here" in page.inner_text("main")
    turn("To the newest")
    assert shown() == added[:-3:-1]
