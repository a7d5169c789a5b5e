"""Pilots are planned where there is work for them, once, and what holds a queue back is said in words."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from diracx_tasks.core.database import now, reading, session
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.jobs.optimize import optimize
from diracx_tasks.jobs.submit import create
from diracx_tasks.matching.demand import demand
from diracx_tasks.matching.limits import recount
from diracx_tasks.pilots import plan, withdraw
from diracx_tasks.pilots.fits import Fits
from diracx_tasks.pilots.queues import queues
from diracx_tasks.pilots.standing import note_starts
from diracx_tasks.pilots.tables import Pilot, Submission
from diracx_tasks.resources import status as rss
from tests.api.stores import ON_MARIADB, installation, migrated  # noqa: F401
from tests.builders import VO, a_new_job
from tests.unit.matching.asking import a_node, asked
from tests.unit.matching.ends import configured, waiting
from tests.unit.pilots.spool import GRID, Grid, age, new, planned, statuses, submitted, synced, words_of

pytestmark = pytest.mark.usefixtures("grid")


def wait(count: int = 1, **requirements: object) -> None:
    """Jobs that ask for something wait."""
    with session() as db:
        create(db, [a_new_job(requirements=requirements) for _ in range(count)])
    with session() as db:
        optimize(db)


def a_month_of_pilots(count: int) -> None:
    """Pilots that ended long ago: each second one began."""
    long_ago = now() - timedelta(days=20)
    stamps = [f"{number:032x}" for number in range(count)]
    pilot = {"vo": VO, "destination": "ce1", "queue": "short", "updated_at": long_ago}
    of_queue = {"vo": VO, "ce": "ce1", "queue": "short", "planned_at": long_ago, "claimed_at": long_ago}
    begun: list[dict[str, Any]] = [
        {"status": "Aborted", "started": None},
        {"status": "Done", "started": long_ago},
    ]
    with session() as db:
        rows = [{**pilot, "stamp": one, "status": begun[n % 2]["status"]} for n, one in enumerate(stamps)]
        db.execute(insert(Pilot), rows)
        sent = [
            {**of_queue, "stamp": one, "claim": one, "to_kill": 0, "started_at": begun[n % 2]["started"]}
            for n, one in enumerate(stamps)
        ]
        db.execute(insert(Submission), sent)
    with session() as db:
        names = "SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables"
        for name in db.scalars(
            text(f"{names} WHERE table_name IN ('PilotAgents', 'PilotSubmissions')")
        ).all():
            db.execute(text(f"ANALYZE TABLE {name}"))


def rows_read(db: Session) -> int:
    """How many rows this connection has read until now."""
    found = db.execute(text("SHOW SESSION STATUS LIKE 'Handler_read%'")).all()
    return sum(int(value) for _, value in found)


def test_jobs_that_fit_all_queues_get_one_pilot_each() -> None:
    waiting(12)
    assert sum(new().values()) == 12
    assert statuses() == {"Planned": 12}


def test_jobs_get_no_second_pilot_while_the_first_is_on_its_way(grid: Grid) -> None:
    wait(10, sites=["LCG.RAL.uk"])
    assert new() == {"long": 10}
    assert new() == {}
    submitted()
    assert new() == {}
    synced()
    assert statuses() == {"Waiting": 10}
    assert new() == {}
    wait(3, sites=["LCG.RAL.uk"])
    assert new() == {"long": 3}


def test_two_that_plan_at_once_spend_jobs_once() -> None:
    wait(10, sites=["LCG.RAL.uk"])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: planned().new, range(4)))
    assert sum(found) == 10
    assert statuses() == {"Planned": 10}


def test_a_dry_run_plans_the_same_and_changes_nothing() -> None:
    wait(10, sites=["LCG.RAL.uk"])
    with reading() as db:
        assert plan.plan(db, VO).new == 10
    assert statuses() == {}
    assert new() == {"long": 10}


def test_a_queue_takes_so_many_waiting_pilots_and_so_many_in_all() -> None:
    wait(500, sites=["LCG.RAL.uk"])
    assert new() == {"long": 20}
    assert words_of("long") == "20 wait and 0 run of 20 and 100"


def test_a_round_sends_no_more_than_the_configuration_says_to_a_queue(grid: Grid) -> None:
    wait(50, sites=["LCG.RAL.uk"])
    with reading() as db:
        (long,) = [line for line in plan.plan(db, VO).lines if line.queue.name == "long"]
    assert plan.room_of(long.queue, long.standing, long.gate, 7)[0].free == 7


@pytest.mark.parametrize(
    ("requirements", "expected"),
    [
        ({"cores": 4}, {"big": 1}),
        ({"cores": 16}, {}),
        ({"cpu_time": 86400, "sites": ["LCG.CERN.ch"]}, {"big": 1}),
        ({"grid_ces": ["ce2"]}, {"long": 1}),
        ({"banned_sites": ["LCG.CERN.ch"]}, {"long": 1}),
        ({"cores": 8, "ram_mb": 30_000}, {}),
        ({"gpu": {"count": 1}}, {}),
        ({"tags": "cvmfs:lhcb"}, {}),
        ({"cores": 2, "system": {"glibc": "2.28"}}, {"big": 1}),
    ],
)
def test_pilots_go_where_the_job_can_run(requirements: dict[str, object], expected: dict[str, int]) -> None:
    wait(1, **requirements)
    assert new() == expected


def test_what_the_configuration_does_not_say_the_nodes_of_the_last_hour_do() -> None:
    wait(1, cores=2, system={"glibc": "2.38"})
    asked(a_node(site="LCG.CERN.ch", ce="ce1", cores=8, ram_mb=16_000, glibc=2034))
    assert new() == {}
    asked(a_node(site="LCG.CERN.ch", ce="ce1", cores=8, ram_mb=16_000, glibc=2040))
    assert new() == {"big": 1}


def test_memory_that_the_configuration_does_not_state_is_that_of_the_nodes() -> None:
    wait(1, ram_mb=3000, sites=["LCG.RAL.uk"])
    asked(a_node(site="LCG.RAL.uk", ce="ce2", ram_mb=2000))
    assert new() == {}
    asked(a_node(site="LCG.RAL.uk", ce="ce2", ram_mb=4000))
    assert new() == {"long": 1}


def test_a_tag_that_a_node_has_told_of_is_there() -> None:
    wait(1, tags="cvmfs:lhcb", sites=["LCG.RAL.uk"])
    asked(a_node(site="LCG.RAL.uk", ce="ce2", tags=["cvmfs:lhcb"]))
    assert new() == {"long": 1}


def test_jobs_that_limits_hold_back_get_no_pilots(grid: Grid) -> None:
    limits = "JobScheduling: {RunningLimit: {LCG.RAL.uk: {JobType: {User: 2}}}}, SiteDirector:"
    text = GRID.format(folder=grid.folder).replace("SiteDirector:", limits)
    with configured(grid.installation, text):
        with session() as db:
            recount(db, VO)
        wait(10, sites=["LCG.RAL.uk"])
        assert new() == {"long": 2}
        assert new() == {}


def test_jobs_that_fit_no_queue_are_counted() -> None:
    wait(3, cores=16)
    wait(1, cores=2)
    found = planned()
    assert (found.jobs, found.homeless, found.new) == (4, 3, 1)


def test_eight_jobs_share_a_pilot_with_eight_processors() -> None:
    wait(16, cores=1, cpu_time=86400, sites=["LCG.CERN.ch"])
    assert new() == {"big": 2}


def test_a_banned_site_gets_no_pilots_and_says_why() -> None:
    wait(3, sites=["LCG.RAL.uk"])
    with session() as db:
        rss.state(db, rss.Element("LCG.RAL.uk", "Site"), "Banned", "power cut")
    assert new() == {}
    assert words_of("long") == "LCG.RAL.uk is not to be used: power cut"
    assert [one.name for one in queues(VO)] == ["short", "big"]


def test_pilots_that_wait_for_very_long_are_not_counted_on(grid: Grid) -> None:
    wait(5, cpu_time=86400)
    first = new()
    submitted()
    synced()
    age(7200)
    second = new()
    assert sum(first.values()) == 1 and first.keys() == {"big"}
    assert second == {"long": 5}
    assert words_of("big") == "1 have waited for long and none has started within the hour"


def test_pilots_that_run_and_are_idle_take_jobs_before_new_ones_are_started(grid: Grid) -> None:
    wait(6, sites=["LCG.RAL.uk"])
    assert new() == {"long": 6}
    submitted()
    grid.tell("ce2", "Running")
    synced()
    assert statuses() == {"Running": 6}
    assert new() == {}
    wait(2, sites=["LCG.RAL.uk"])
    assert new() == {"long": 2}


@ON_MARIADB
@pytest.mark.parametrize("work", [note_starts, withdraw.marked], ids=["begun", "to kill"])
def test_a_month_of_pilots_is_not_read_to_find_those_of_now(work: Callable[[Session, str], object]) -> None:
    a_month_of_pilots(20_000)
    with session() as db:
        before = rows_read(db)
        work(db, VO)
        assert rows_read(db) - before < 1000


def test_planning_is_asked_for_once_when_jobs_arrive() -> None:
    wait(2)
    wait(3)
    with reading() as db:
        found = db.scalars(select(Outbox.key).where(Outbox.task == "pilots.plan_pilots")).all()
    assert found == ["vo-lhcb.plan"]


def test_several_jobs_at_once_are_bounded_by_memory() -> None:
    wait(1, cores=1, ram_mb=4000)
    with reading() as db:
        (one,) = [row.of for row in demand(db, VO, 10)]
    fits = Fits(queues(VO))
    assert {fits.queues[place].name: count for place, count in fits.of(one).items()} == {
        "short": 1,
        "big": 4,
        "long": 1,
    }
