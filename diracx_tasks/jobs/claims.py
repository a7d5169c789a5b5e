"""Jobs that the matcher has chosen are given to their pilots: many in one transaction, each if it waits."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Executable, bindparam, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import now, plain, utc_now
from diracx_tasks.core.many import Columns, insert_many, update_many
from diracx_tasks.core.packed import unpacked
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs.events import IDS, record
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change, hold
from diracx_tasks.jobs.tables import Attempt, Job, Payload

MATCHED = Change(Status.MATCHED, minor="Assigned", application="Unknown", source="Matcher")
ATTEMPT = ("JobID", "Attempt", "PilotStamp", "Site", "CE", "Node", "StartedAt", "Status", "Reason")


class Claim(NamedTuple):
    """A job for a pilot, and where that runs."""

    job_id: int
    vo: str
    pilot: str
    site: str
    ce: str
    node: str


class Work(NamedTuple):
    """A job that a pilot has now: the attempt's number, whose it is, what it asked for and what it runs."""

    attempt: int
    owner: str
    group: str
    vo: str
    requirements: Mapping[str, Any]
    payload: dict[str, Any]


def claim_many(db: Session, claims: Sequence[Claim]) -> dict[int, Work]:
    """Give waiting jobs to pilots; those that do not wait any more, or are another VO's, are left out.

    Each must be Running within `matched_seconds`.
    """
    held = hold(db, [claim.job_id for claim in claims])
    given = [
        claim
        for claim in {claim.job_id: claim for claim in claims}.values()
        if (job := held.get(claim.job_id)) and job.status == Status.WAITING and job.vo == claim.vo
    ]
    if not given:
        return {}
    ids = [claim.job_id for claim in given]
    db.connection().execute(_moving(settings().matched_seconds), {"ids": ids})
    update_many(db, plain(Job), ("JobID", "Site"), _site, [(claim.job_id, claim.site) for claim in given])
    record(db, ids, MATCHED)
    moment = now()
    rows = [
        (one.job_id, held[one.job_id].attempt, one.pilot, one.site, one.ce, one.node, moment, "Matched", "")
        for one in given
    ]
    insert_many(db, plain(Attempt), ATTEMPT, rows)
    return {
        job_id: Work(attempt, owner, group, vo, requirements, unpacked(payload))
        for job_id, attempt, owner, group, vo, requirements, payload in db.connection().execute(
            _describing(), {"ids": ids}
        )
    }


@lru_cache(4)
def _moving(seconds: float) -> Executable:
    values = {
        "status": Status.MATCHED,
        "minor_status": MATCHED.minor,
        "application_status": MATCHED.application,
        "updated_at": utc_now(),
        "next_check_at": utc_now(seconds),
    }
    return update(Job).where(Job.job_id.in_(bindparam("ids", expanding=True))).values(values)


def _site(new: Columns) -> dict[str, Any]:
    return {"Site": new["Site"]}


@lru_cache(1)
def _describing() -> Executable:
    columns = (Job.job_id, Job.attempt, Job.owner, Job.group, Job.vo, Payload.requirements, Payload.payload)
    return select(*columns).join(Payload, Payload.job_id == Job.job_id).where(Job.job_id.in_(IDS))
