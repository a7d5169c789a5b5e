"""Every page there is, with something on it: nothing in the way of anybody, in the light, dark and narrow."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser
from sqlalchemy import select

from diracx_tasks.accounting import snapshots
from diracx_tasks.core.database import now, session
from diracx_tasks.engine import schedules
from diracx_tasks.jobs.states import Status
from diracx_tasks.pilots.tables import Pilot
from diracx_tasks.sandboxes.metadata import Owner
from tests.architecture.test_pages import ROUTES
from tests.builders import a_job
from tests.ui.operating import olga
from tests.ui.pi import Pi
from tests.ui.test_sites_pages import pages, sent
from tests.ui.test_workflow_values import DOT, a_file
from tests.ui.visitor import HEIGHT, Pages, Visitor, open_visitor
from tests.unit.accounting.attempts import gather, measured
from tests.unit.pilots.spool import Grid, grid
from tests.work import Work, ask, die, run, work

__all__ = ["grid", "olga", "pages", "work"]
# Answers that are no pages: files, texts, streams, and ways to somewhere else.
NO_PAGES = {
    "/ui",
    "/ui/jobs/{job_id}/sandbox",
    "/ui/login/begin",
    "/ui/login/done",
    "/ui/pilots/{stamp}/log",
    "/ui/stored/content",
    "/ui/stored/picture",
    "/ui/usage/csv",
    "/ui/usage/plot",
    "/ui/usage/states",
    "/ui/workflows/{workflow_id}/crate",
    "/ui/workflows/{workflow_id}/graph.svg",
    "/ui/workflows/{workflow_id}/json",
    "/ui/workflows/{workflow_id}/log/live",
}
PATHS = sorted({route.path for method, route in ROUTES if method == "GET"} - NO_PAGES)
MINE = Owner("alice", "operators", "lhcb")
LONG = "a-name-of-a-file-that-is-longer-than-a-telephone-is-wide-and-has-no-space-in-it.txt"


def a_busy_installation(work: Work, grid: Grid) -> dict[str, str]:
    """Something on each page; what addresses have in the place of their parameters."""
    stamp = sent(grid)
    files = [a_file("plot.png", DOT), a_file(LONG, b"seven darts " * 40), {"a": ["c" * 200]}]
    pi = Pi(title="three dozen darts").to_the_end(files)
    failed = Pi(title="x" * 120).half_way()
    failed.end(failed.jobs("simulate", 7), error="the application ended with 1: " + "y" * 150)
    with session() as db:
        job_id = a_job(db, Status.RUNNING, name="a-job-whose-name-is-" + "long-" * 12)
    measured(2, owner="alice")
    measured(1, Status.FAILED, "RAL/n1", owner="bob", use={"cpu_seconds": 10.0})
    gather()
    ask(1, parent="workflow-42.advance")
    run()
    die(work, 2)
    with session() as db:
        schedules.synchronize(db)
        found = snapshots.look(db, now())
        assert found
        snapshots.store(db, found)
        with_job = db.scalar(select(Pilot.stamp).where(Pilot.current_job != 0))
    return {
        "job_id": str(job_id),
        "workflow_id": str(pi.workflow_id),
        "path:path": "simulate",
        "site": "LCG.CERN.ch",
        "stamp": with_job or stamp,
        "name": "jobs.optimize",
        "key:path": "job-2.verb",
        "letter_id": "1",
        # Stored files are a group's: those of the workflow are not the operators'.
        "at": str(a_file(LONG, b"operators " * 40, MINE)["location"]),
        "failed": str(failed.workflow_id),
    }


def addresses(known: dict[str, str]) -> Iterator[str]:
    """Of each page one address; of a workflow also one that failed."""
    for path in PATHS:
        made = re.sub(r"{([^}]*)}", lambda one: known[one[1]], path)
        yield f"{made}?at={known['at']}" if path == "/ui/stored" else made
        if "{workflow_id}" in path:
            yield made.replace(f"/{known['workflow_id']}", f"/{known['failed']}")
    yield "/ui/jobs?status=Done&name=nothing"


@pytest.fixture
def eyes(pages: Pages, browser: Browser, olga: Visitor) -> Iterator[list[Visitor]]:
    """Windows: a large light one, and a narrow dark one."""
    phone: dict[str, Any] = {"viewport": {"width": 390, "height": HEIGHT}, "color_scheme": "dark"}
    narrow = open_visitor(pages, browser, "alice", "operators", **phone)
    yield [olga, narrow]
    narrow.close()
    assert not narrow.complaints, narrow.complaints


def test_nothing_is_in_anybodys_way_on_any_page(eyes: list[Visitor], work: Work, grid: Grid) -> None:
    known = a_busy_installation(work, grid)
    wrong: list[str] = []
    for path in addresses(known):
        for kind, one in zip(("light", "narrow"), eyes, strict=True):
            one.goto(path)
            for look in (one.is_accessible, one.fits):
                try:
                    look()
                except AssertionError as error:
                    wrong.append(f"{path} {kind}: {error}")
    assert not wrong, "\n\n".join(wrong)
