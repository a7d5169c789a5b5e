"""Where pilots are sent, and tests of the queues they are sent to."""

from typing import Any

from diracx_api.deps import Db, Me, ReadDb, Router
from diracx_api.models import pilot_plans as models
from diracx_tasks.auth import rights
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.pilots import plan, site_tests

router = Router("pilots", "/api/pilots")
sites = Router("sites", "/api/sites")


@router.post("/plan", right=rights.operate, response_model=models.PilotPlan)
def plan_pilots(db: Db, me: Me, body: models.PlanWanted) -> Any:
    """Say how many pilots of your VO would be sent where now, and why not more; or have that done.

    It is planned every minute anyway, and when jobs arrive.
    """
    found = plan.plan(db, me.vo)
    if not body.dry_run:
        enqueue(db, "pilots.plan_pilots", f"vo-{me.vo}.plan", vo=me.vo)
    return {
        "jobs": found.jobs,
        "homeless": found.homeless,
        "new": found.new,
        "is_dry_run": body.dry_run,
        "queues": [_queue(line) for line in found.lines],
    }


@sites.post("/test", right=rights.operate, response_model=list[models.QueueTest])
def test_queues(db: Db, me: Me, body: models.QueueNames) -> Any:
    """Submit a small job to each queue that is meant; one that is being tested is not tested twice."""
    found = site_tests.chosen(me.vo, site=body.site, ce=body.ce, queue=body.queue)
    return site_tests.ask(db, me.vo, found, by=site_tests.service(me.vo))


@sites.get("/tests", right=rights.not_a_pilot, response_model=list[models.QueueTested])
def get_tests(db: ReadDb, me: Me) -> Any:
    """The last test of each queue of your VO."""
    return site_tests.tested(db, me.vo)


def _queue(line: plan.Line) -> dict[str, Any]:
    return {
        "site": line.queue.site,
        "ce": line.queue.ce,
        "queue": line.queue.name,
        "new": line.new,
        "surplus": line.surplus,
        "waiting": line.standing.waiting,
        "running": line.standing.running,
        "wait_seconds": round(line.standing.wait, 1),
        "breaker": line.gate.breaker,
        "words": line.words,
    }
