"""Sites and pilots in a browser: who may read, who may act, and what the verbs say of it then."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from diracx_tasks.core.database import reading, session
from diracx_tasks.engine import overview
from diracx_tasks.jobs.states import Status
from diracx_tasks.pilots import history, logs, sites
from diracx_tasks.pilots.tables import Pilot
from tests.builders import VO, a_job, a_pilot, a_user
from tests.ui.operating import KINDS, Visit, olga, press, said, sure
from tests.ui.visitor import Pages, Visitor, serving
from tests.unit.matching.ends import waiting
from tests.unit.pilots.spool import GRID, Grid, grid, planned, submitted, synced

__all__ = ["grid", "olga"]
CERN = "/ui/sites/LCG.CERN.ch"


@pytest.fixture
def pages(grid: Grid) -> Iterator[Pages]:
    """A server whose VO sends pilots to two sites."""
    more = GRID[GRID.index("Operations:") :].format(folder=grid.folder)
    with serving(grid.installation, more) as found:
        yield found


def stamps() -> list[str]:
    with reading() as db:
        return list(db.scalars(select(Pilot.stamp).order_by(Pilot.pilot_id)))


def queue(name: str = "short") -> dict[str, Any]:
    with reading() as db:
        return next(row for row in sites.sites(db, VO) if row["queue"] == name)


def sent(grid: Grid, count: int = 3) -> str:
    """Pilots that run at CERN; the stamp of the first."""
    waiting(count)
    planned()
    submitted("ce1")
    grid.tell("ce1", "Running")
    synced("ce1")
    return stamps()[0]


def test_everybody_of_the_vo_reads_how_sites_and_pilots_are_and_changes_nothing(
    visit: Visit, pages: Pages, grid: Grid
) -> None:
    stamp = sent(grid)
    bob = visit("bob")
    page = bob.goto("/ui/sites")
    bob.picture("sites")
    bob.is_accessible()
    assert page.locator("tbody tr").count() == 3
    page.get_by_role("link", name="3", exact=True).click()
    assert page.locator("tbody tr").count() == 3
    assert "status=Running" in page.url and "ce=ce1" in page.url
    for path in (CERN, f"/ui/pilots/{stamp}"):
        page = bob.goto(path)
        assert page.locator("main form").count() == 0
    for path in ("/ui/sites/plan", f"/ui/pilots/{stamp}/log"):
        answer = page.goto(pages.url + path)
        assert answer is not None and answer.status == 403
    bob.complaints.clear()


def test_a_site_is_banned_with_a_reason_and_allowed_and_its_queues_are_tested(olga: Visitor) -> None:
    page = olga.goto(CERN)
    page.locator("#ban-reason").fill("power cut")
    page.get_by_role("button", name="Ban at LCG.CERN.ch").click()
    assert said(page) == "LCG.CERN.ch is banned for lhcb: power cut"
    assert queue()["barred"] == "LCG.CERN.ch is not to be used: power cut"
    assert page.title() == "Banned · LCG.CERN.ch · DiracX"
    olga.picture("site")
    olga.is_accessible()
    assert olga.goto("/ui/sites?which=trouble").locator("tbody tr").count() == 2
    page = olga.goto(CERN)
    page.locator("#allow-reason").fill("power is back")
    page.get_by_role("button", name="Allow at LCG.CERN.ch").click()
    assert said(page) == "LCG.CERN.ch is allowed for lhcb." and queue()["is_allowed"]
    page.locator("#ban-ce").select_option("ce1")
    page.locator("#ban-reason").fill("it eats pilots")
    page.get_by_role("button", name="Ban at LCG.CERN.ch").click()
    assert queue()["barred"] == "ce1 is not to be used: it eats pilots"
    page.locator("tr", has_text="short").get_by_role("button", name="Test now").click()
    assert "1 queue tested by job" in said(page)
    assert (queue()["test"], queue("big")["test"]) == ("Running", "")
    page.get_by_role("button", name="Test all 2 queues").click()
    assert queue("big")["test"] == "Running"


def test_the_plan_says_what_holds_pilots_back_and_is_carried_out(olga: Visitor) -> None:
    waiting(4)
    page = olga.goto("/ui/sites/plan")
    olga.picture("plan")
    olga.is_accessible()
    assert page.title() == "4 new pilots · DiracX"
    press(page, "/ui/sites/plan")
    assert said(page) == "Pilots of lhcb are planned now."
    with reading() as db:
        assert [row["key"] for row in overview.page(db, task="pilots.plan_pilots")] == ["vo-lhcb.plan"]


def test_pilots_are_filtered_and_one_is_told_with_its_jobs_and_log(olga: Visitor, grid: Grid) -> None:
    stamp = sent(grid)
    with session() as db:
        job_id = a_job(db, Status.RUNNING, pilot=stamp)
        logs.keep(db, stamp, "began\nasked for work\n", by=a_pilot(stamp))
    page = olga.goto("/ui/pilots")
    olga.picture("pilots")
    olga.is_accessible()
    page.get_by_label("Site", exact=True).select_option("LCG.CERN.ch")
    page.get_by_role("button", name="Show").click()
    assert "site=LCG.CERN.ch" in page.url and page.locator("tbody tr").count() == 3
    olga.goto("/ui/pilots?status=Failed")
    assert "No pilot matches status = Failed; 3 pilots without this." in page.inner_text("main")
    page = olga.goto(f"/ui/pilots/{stamp}")
    assert page.title() == f"Running · pilot {stamp} · DiracX"
    assert (
        page.get_by_role("link", name=str(job_id), exact=True).get_attribute("href") == f"/ui/jobs/{job_id}"
    )
    assert "asked for work" in page.inner_text("pre")
    assert "planned for short of ce1" in page.inner_text("ol.events")
    olga.picture("pilot")
    olga.is_accessible()
    page.get_by_role("link", name="The whole log as text").click()
    assert page.inner_text("body").startswith("began")


def test_a_pilots_output_is_asked_for_and_it_is_killed(olga: Visitor, grid: Grid) -> None:
    stamp = sent(grid)
    grid.write("ce1", stamp, "the batch system's own words")
    page = olga.goto(f"/ui/pilots/{stamp}")
    press(page, f"/ui/pilots/{stamp}/output")
    assert "it is to arrive" in page.inner_text("main")
    logs.fetch_output(VO, stamp)
    assert "the batch system's own words" in olga.goto(f"/ui/pilots/{stamp}").inner_text("pre")
    question = sure(page, f"/ui/pilots/{stamp}/kill")
    assert question == f"Kill pilot {stamp}? It holds 0 jobs; other pilots get what it holds."
    assert said(page) == f"Pilot {stamp} was Running: ce1 is told."
    with reading() as db:
        assert history.history(db, stamp, by=a_user())["reason"] == "killed by alice"
    assert page.get_by_role("button", name="Kill").count() == 0


def test_sites_and_pilots_are_read_on_a_phone_in_the_dark_and_without_javascript(
    visit: Visit, olga: Visitor, grid: Grid
) -> None:
    stamp = sent(grid)
    phone, dark, plain = (visit("alice", "operators", **options) for options in KINDS)
    for path in ("/ui/sites", CERN, "/ui/sites/plan", "/ui/pilots", f"/ui/pilots/{stamp}"):
        assert phone.goto(path).locator("h1").is_visible()
        phone.picture(f"{path.strip('/').replace('/', '-')[:16]}-phone")
        phone.fits()
    dark.goto(CERN)
    dark.picture("site-dark")
    dark.is_accessible()
    page = plain.goto(f"/ui/pilots/{stamp}")
    sure(page, f"/ui/pilots/{stamp}/kill")
    assert "ce1 is told" in said(page)
