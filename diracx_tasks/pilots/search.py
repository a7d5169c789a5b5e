"""Pilots by DiracX's search; `JobID` stands for the pilots that had a job."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from sqlalchemy.orm import Session

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.auth.tokens import User
from diracx_tasks.core import search as core
from diracx_tasks.core.conditions import LARGEST
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.jobs.access import sees_all, those_seen
from diracx_tasks.pilots import mapping
from diracx_tasks.pilots.tables import Pilot

COLUMNS = {column.name: column for column in Pilot.__table__.columns}
JOB = "JobID"
# Columns that tell of a pilot's jobs.
OF_JOBS = frozenset({"InitialJobID", "CurrentJobID"})
Conditions = Sequence[Mapping[str, Any]]


def search(db: Session, query: core.Query, *, by: User) -> core.Page:
    """One page of the VO's pilots; without the numbers of their jobs where one sees one's own jobs only."""
    listing, rest = _listing(db, by, query.conditions)
    left_out = OF_JOBS - listing.columns.keys()
    wanted = query.parameters and [name for name in query.parameters if name not in left_out]
    return core.page_of(db, listing, replace(query, conditions=rest, parameters=wanted))


def summary(db: Session, grouping: Sequence[str], conditions: Conditions, *, by: User) -> list[str]:
    """How many of the VO's pilots there are of each combination of columns, as JSON texts."""
    listing, rest = _listing(db, by, conditions)
    return core.summary(db, listing, grouping, rest)


def _listing(db: Session, by: User, conditions: Conditions) -> tuple[core.Listing, list[Mapping[str, Any]]]:
    """The pilots that had the jobs which are asked for, and the other conditions."""
    about_jobs = [one for one in conditions if one["parameter"] == JOB]
    rest = [one for one in conditions if one["parameter"] != JOB]
    if about_jobs and any(one["parameter"] == "PilotID" for one in rest):
        words = "Cannot combine 'JobID' pseudo-parameter with a real 'PilotID' filter in the same request."
        raise BadRequest(words)
    where, scope, columns = [Pilot.vo == by.vo], f"pilots of {by.vo}", COLUMNS
    # Who may kill pilots needs to know which of them hold a job.
    if not sees_all(by) and SERVICE not in by.properties:
        columns = {name: column for name, column in COLUMNS.items() if name not in OF_JOBS}
        scope += " without jobs"
    for one in about_jobs:
        job_ids = those_seen(db, _job_ids(one), by)
        where.append(Pilot.pilot_id.in_(mapping.pilots_of(job_ids)))
        scope += " with " + hashlib.sha256(orjson.dumps(sorted(job_ids))).hexdigest()
    return core.Listing(columns, "PilotID", where, scope), rest


def _job_ids(condition: Mapping[str, Any]) -> list[int]:
    if condition["operator"] not in ("eq", "in"):
        words = "'JobID' pseudo-parameter supports the operators 'eq' and 'in' only, not"
        raise BadRequest(f"{words} {condition['operator']!r}.")
    is_list = condition["operator"] == "in"
    given = condition.get("values") if is_list else [condition.get("value")]
    try:
        return [_number(one) for one in given or []]
    except (TypeError, ValueError) as error:
        raise BadRequest("'JobID' pseudo-parameter values must be integers.") from error


def _number(value: Any) -> int:
    number = int(value)
    if not -LARGEST < number < LARGEST:
        raise ValueError(number)
    return number
