"""One action on all jobs that a search finds."""

from typing import Any

from diracx_api.deps import Db, Me, ReadDb, Router
from diracx_api.models import bulk as models
from diracx_api.models.search import plain
from diracx_tasks.auth import rights
from diracx_tasks.jobs import bulk

router = Router("jobs", "/api/jobs")


@router.post("/bulk", right=rights.read, response_model=models.BulkAnswer)
def act_on_jobs(db: Db, me: Me, body: models.Bulk) -> Any:
    """Kill, delete, remove or reschedule those of your jobs that fit all conditions; an administrator: all.

    It is carried out by a task, on the jobs that are there now and still fit when their turn comes. `remove`
    takes jobs that have ended, with all that is stored of them; one of which a pilot may still speak is
    Deleted now and removed an hour later.
    """
    conditions = plain(body.search)
    bulk.refuse_everything(conditions, is_all=body.all)
    found = bulk.count(db, body.action, conditions, by=me)
    number = None if body.dry_run else bulk.ask(db, body.action, conditions, found, by=me)
    return {
        "bulk_id": number,
        "follow": None if number is None else f"/api/jobs/bulk/{number}",
        "found": found.jobs,
        "by_status": found.by_status,
        "possible": found.possible,
        "others": found.others,
    }


@router.get("/bulk/{bulk_id}", right=rights.manage, response_model=models.BulkProgress)
def get_bulk_action(db: ReadDb, me: Me, bulk_id: models.BulkId) -> Any:
    """How far an action on many jobs has come, what became of them, and why some stay as they are."""
    return bulk.follow(db, bulk_id, by=me)
