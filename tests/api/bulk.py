"""Actions on all jobs that a search finds, as tests ask for them."""

from typing import Any

from sqlalchemy import update

from diracx_tasks.accounting import usage
from diracx_tasks.core.database import session, utc_now
from diracx_tasks.jobs import tasks
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Attempt
from tests.api.caller import ALICE, Api
from tests.api.changes import a_stored_job

WAITING = {"parameter": "Status", "operator": "eq", "value": "Waiting"}
Row = dict[str, Any]


def ids(*job_ids: int) -> Row:
    return {"parameter": "JobID", "operator": "in", "values": list(job_ids)}


def asked(api: Api, action: str, *search: Row, by: Any = ALICE, **stated: Any) -> Row:
    answer = api.post("/api/jobs/bulk", {"action": action, "search": list(search), **stated}, by=by)
    assert answer.status_code == 200, answer.text
    found: Row = answer.json()
    return found


def carried_out(api: Api, action: str, *search: Row, by: Any = ALICE, **stated: Any) -> Row:
    """What became of it, once the task has ended."""
    found = asked(api, action, *search, by=by, **stated)
    tasks.act_in_bulk.run(bulk_id=found["bulk_id"])
    progress: Row = api.get(found["follow"], by=by).json()
    assert progress["ended_at"]
    return progress


def a_job(status: Status, **stated: Any) -> int:
    with session() as db:
        return a_stored_job(db, status, **stated)


def silent(*job_ids: int) -> None:
    """Nobody speaks of these any more: their pilots ended them hours ago, and what they used is counted."""
    with session() as db:
        db.execute(update(Attempt).where(Attempt.job_id.in_(job_ids)).values(ended_at=utc_now(-7200)))
        usage.gather(db)
