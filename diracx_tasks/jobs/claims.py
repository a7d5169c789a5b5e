"""Jobs that the matcher has chosen are given to their pilots: many in one transaction, each if it waits."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Executable, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import now, plain, utc_now
from diracx_tasks.core.many import Columns, insert_many, update_many
from diracx_tasks.core.packed import unpacked
from diracx_tasks.jobs.deadlines import patience
from diracx_tasks.jobs.events import IDS, record
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change
from diracx_tasks.jobs.tables import Attempt, Job, Payload

MATCHED = Change(Status.MATCHED, minor="Assigned", application="Unknown", source="Matcher")
ATTEMPT = (
    "JobID",
    "Attempt",
    "PilotStamp",
    "Site",
    "CE",
    "Node",
    "StartedAt",
    "Status",
    "Reason",
    "HeartbeatSeconds",
)


class Claim(NamedTuple):
    """A job for a pilot, and where that runs; without `heartbeat_seconds` it reports as the settings say."""

    job_id: int
    pilot: str
    site: str
    ce: str
    node: str
    heartbeat_seconds: float | None = None


class Work(NamedTuple):
    """A job that a pilot has now: the attempt's number, whose it is, what it asked for and what it runs."""

    attempt: int
    owner: str
    group: str
    vo: str
    requirements: Mapping[str, Any]
    payload: dict[str, Any]


def hold_waiting(db: Session, vo: str, job_ids: Collection[int]) -> dict[int, Work]:
    """Those of the jobs that are the VO's and wait, their rows held until the transaction ends."""
    rows = db.connection().execute(_holding(), {"ids": sorted(set(job_ids))})
    return {
        row.JobID: Work(row[2], row[3], row[4], row[5], row[6], unpacked(row[7]))
        for row in rows
        if row.Status == Status.WAITING and vo == row.VO
    }


def give(db: Session, claims: Mapping[Claim, Work]) -> None:
    """Give held jobs that wait to their pilots, each to one; it must run within some heartbeats' time."""
    if not claims:
        return
    pace = patience()
    within: dict[float, list[tuple[int, str]]] = defaultdict(list)
    for one in claims:
        seconds = pace.seconds(Status.MATCHED, one.heartbeat_seconds or pace.interval)
        within[seconds].append((one.job_id, one.site))
    for seconds, rows in within.items():
        update_many(db, plain(Job), ("JobID", "Site"), _given(seconds), rows)
    record(db, [one.job_id for one in claims], MATCHED)
    moment = now()
    attempts = [
        (
            one.job_id,
            work.attempt,
            *(one.pilot, one.site, one.ce, one.node, moment, "Matched", ""),
            one.heartbeat_seconds or pace.interval,
        )
        for one, work in claims.items()
    ]
    insert_many(db, plain(Attempt), ATTEMPT, attempts)


@lru_cache(1)
def _holding() -> Executable:
    # From the third on as `Work` has them.
    columns = (Job.job_id, Job.status, Job.attempt, Job.owner, Job.group, Job.vo)
    query = select(*columns, Payload.requirements, Payload.payload)
    joined = query.join(Payload, Payload.job_id == Job.job_id)
    # In one order, or two transactions would wait for each other.
    return joined.where(Job.job_id.in_(IDS)).order_by(Job.job_id).with_for_update()


@lru_cache(16)
def _given(seconds: float) -> Callable[[Columns], dict[str, Any]]:
    """What is set of a job that a pilot gets: by one function for each time, as `update_many` keeps them."""
    return lambda new: {
        "Site": new["Site"],
        "Status": Status.MATCHED.value,
        "MinorStatus": MATCHED.minor,
        "ApplicationStatus": MATCHED.application,
        "LastUpdateTime": utc_now(),
        "NextCheckAt": utc_now(seconds),
    }
