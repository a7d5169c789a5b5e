"""The first of the operators' pages, and queues with the workers that look after them."""

from fastapi import Request, Response

from diracx_api.deps import ReadDb
from diracx_api.ui import render
from diracx_api.ui.operate.away import Told, told
from diracx_api.ui.operate.subjects import task_page
from diracx_api.ui.router import Me, Pages
from diracx_tasks.auth import rights
from diracx_tasks.core.remembered import remembered
from diracx_tasks.core.settings import settings
from diracx_tasks.engine import broker, overview, repairs, schedules

router = Pages("/operate")
EVERY = 10


@router.get("", right=rights.operate)
def show_overview(db: ReadDb, request: Request, me: Me) -> Response:
    """What waits, what is late, what died, and what should never have been."""
    queues, _ = _broker()
    entries = overview.schedule(db)
    return render.page(
        request,
        "operate/overview.html",
        every=EVERY,
        queues=queues,
        totals=overview.totals(db),
        repairs=sorted(repairs.totals(db).items()),
        paused=[row for row in entries if row["state"] != schedules.ON],
        failing=[row for row in entries if row["outcome"] in ("Failed", "Dead", schedules.REFUSED)],
    )


@router.get("/queues", right=rights.operate)
def show_queues(request: Request, me: Me) -> Response:
    """The nine queues, and the workers that answer with what they run now."""
    queues, workers = _broker()
    return render.page(
        request, "operate/queues.html", every=EVERY, queues=queues, workers=workers, task_page=task_page
    )


def _broker() -> tuple[Told, Told]:
    """Queues and workers; who looks again at once sees the same workers."""
    workers = told(lambda: remembered(("workers", settings().broker), broker.workers))
    return (workers, workers) if workers.trouble else (told(lambda: overview.queues(workers.rows)), workers)
