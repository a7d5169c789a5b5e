"""Where pilots are sent."""

from typing import Any

from diracx_api.deps import Db, Me, Router
from diracx_api.models import pilot_plans as models
from diracx_tasks.auth import rights
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.pilots import plan

router = Router("pilots", "/api/pilots")


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
