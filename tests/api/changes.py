"""Jobs in any status, what is said of them, and what is stored of it: for tests of the jobs' routes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import reading
from diracx_tasks.jobs.requirements import PAYLOAD_TAG
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Job, JobEvent
from tests.api.caller import ALICE, Api
from tests.builders import a_job, a_pilot

STATUS = "/api/jobs/status"
# Times count from here: what the builders record is older.
BEGIN = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
# No verb leads here in a test: DIRAC's own programs write these.
FOREIGN = (
    Status.SUBMITTING,
    Status.CHECKING,
    Status.SCOUTING,
    Status.STAGING,
    Status.RESCHEDULED,
    Status.COMPLETED,
)


def at(seconds: float) -> str:
    """A time after all that has happened so far, as a client writes it."""
    moment = BEGIN + timedelta(seconds=seconds)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def a_stored_job(db: Session, status: Status = Status.RUNNING, **stated: Any) -> int:
    """A committed job in any status; the pilot stamp-1 has it where a pilot must."""
    if status in FOREIGN:
        usual = Status.RUNNING if status is Status.COMPLETED else Status.RECEIVED
    else:
        usual = Status.DONE if status is Status.DELETED else status
    job_id = a_job(db, usual, **stated)
    if usual is not status:
        db.execute(update(Job).where(Job.job_id == job_id).values(status=status))
    db.commit()
    return job_id


def tell(api: Api, job_id: int, updates: dict[str, Any], *, by: User = ALICE, force: bool = False) -> Any:
    """The answer to updates of one job by their times."""
    query = {"force": "true"} if force else {}
    return api.patch(STATUS, {str(job_id): updates}, by=by, params=query)


def told(api: Api, job_id: int, updates: dict[str, Any], **options: Any) -> dict[str, Any]:
    """What has changed of the job, by a call that is good."""
    answer = tell(api, job_id, updates, **options)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["success"][str(job_id)]
    return found


def the(api: Api, job_id: int) -> dict[str, Any]:
    """Everything about a job."""
    answer = api.get(f"/api/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def status_of(api: Api, job_id: int) -> str:
    """The status of a job."""
    return str(the(api, job_id)["Status"])


def events(job_id: int) -> list[tuple[str, str, str, str]]:
    """What LoggingInfo has of a job, in the order in which it came: statuses and source."""
    columns = (JobEvent.status, JobEvent.minor_status, JobEvent.application_status, JobEvent.source)
    with reading() as db:
        rows = db.execute(select(*columns).where(JobEvent.job_id == job_id).order_by(JobEvent.number))
        return [(row[0], row[1], row[2], row[3]) for row in rows]


def matched(api: Api, stamp: str = "stamp-2") -> list[tuple[int, int]]:
    """The jobs, and their attempts, that a pilot gets which takes all there are."""
    slot = {
        "stamp": stamp,
        "site": "LCG.CERN.ch",
        "cores": 64,
        "ram_mb": 640_000,
        "count": 100,
        "tags": [PAYLOAD_TAG],
    }
    answer = api.post("/api/pilots/match", slot, by=a_pilot(stamp))
    assert answer.status_code == 200, answer.text
    return [(job["job_id"], job["attempt"]) for job in answer.json()["jobs"]]
