"""Many jobs: DiracX's search with its pseudo-columns, summaries, counts."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core import search as core
from diracx_tasks.core.conditions import conditions as in_sql
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.jobs import events
from diracx_tasks.jobs.access import visible
from diracx_tasks.jobs.states import HELD
from diracx_tasks.jobs.steps import are_steps
from diracx_tasks.jobs.tables import Attempt, Job
from diracx_tasks.pilots import mapping

COLUMNS = {column.name: column for column in Job.__table__.columns if column.name != "NextCheckAt"}
JOB, HISTORY, PILOT = "JobID", "LoggingInfo", "PilotStamp"
# Of DIRAC's statuses, what a person sees of a step.
SHOWN = {"Done": "Done", "Failed": "Failed", "Killed": "Killed", "Deleted": "Killed"}
SHOWN |= dict.fromkeys(("Running", "Completing", "Stalled", "Matched"), "Running")


def search(db: Session, query: core.Query, *, by: User) -> core.Page:
    """One page of the jobs that somebody may see.

    `LoggingInfo` among the parameters adds each job's history, `PilotStamp` as a condition stands for the
    jobs that pilots had.
    """
    listing, rest = _listing(db, by, query.conditions)
    wanted = list(query.parameters or ())
    plain = [name for name in wanted if name != HISTORY]
    asked = replace(query, conditions=rest, parameters=plain)
    if HISTORY not in wanted:
        return core.page_of(db, listing, asked)
    named = [*plain, JOB] if plain else None
    page = core.page_of(db, listing, replace(asked, parameters=named, beside=[JOB]))
    ids = [row[0] for row in page.beside]
    told = events.histories(db, ids)
    joined = [
        f'{row[:-1]},"{HISTORY}":{orjson.dumps(told[job_id]).decode()}}}'
        for row, job_id in zip(page.rows, ids, strict=True)
    ]
    return replace(page, rows=joined)


def summary(
    db: Session, grouping: Sequence[str], conditions: Sequence[Mapping[str, Any]], *, by: User
) -> list[str]:
    """How many of the jobs that somebody may see there are of each combination, as JSON texts."""
    listing, rest = _listing(db, by, conditions)
    return core.summary(db, listing, grouping, rest)


def held_in(db: Session, vo: str, job_groups: Collection[str]) -> dict[str, int]:
    """How many jobs of workflows pilots have at the moment, by group; groups without any are left out."""
    mine = (*are_steps(job_groups), Job.vo == vo, Job.status.in_(HELD))
    return dict(db.execute(select(Job.job_group, func.count()).where(*mine).group_by(Job.job_group)).all())


def held(db: Session, vo: str, job_group: str) -> dict[str, int]:
    """How many jobs of a workflow's group pilots have at the moment, by name."""
    mine = (*are_steps([job_group]), Job.vo == vo, Job.status.in_(HELD))
    return dict(db.execute(select(Job.name, func.count()).where(*mine).group_by(Job.name)).all())


def group_counts(db: Session, vo: str, owner: str, job_groups: Collection[str]) -> dict[str, dict[str, int]]:
    """For each group, how many of somebody's jobs in it there are by shown status."""
    mine = (Job.job_group.in_(job_groups), Job.vo == vo, Job.owner == owner)
    query = select(Job.job_group, Job.status, func.count()).where(*mine)
    found: dict[str, dict[str, int]] = {group: {} for group in job_groups}
    for group, status, count in db.execute(query.group_by(Job.job_group, Job.status)):
        shown = SHOWN.get(status, "Waiting")
        found[group][shown] = found[group].get(shown, 0) + count
    return found


def totals(db: Session) -> dict[str, int]:
    """How many jobs there are in each status, over all VOs: for metrics."""
    return dict(db.execute(select(Job.status, func.count()).group_by(Job.status)).all())


def fitting(db: Session, conditions: Sequence[Mapping[str, Any]], *, by: User) -> list[ColumnElement[bool]]:
    """For a query: what holds of the jobs that somebody may see and that fit all conditions."""
    listing, rest = _listing(db, by, conditions)
    return [*listing.where, *in_sql(COLUMNS, rest)]


def _listing(
    db: Session, by: User, conditions: Sequence[Mapping[str, Any]]
) -> tuple[core.Listing, list[Mapping[str, Any]]]:
    """The jobs to look among, and the conditions that are left."""
    of_pilots = [one for one in conditions if one["parameter"] == PILOT]
    rest = [one for one in conditions if one["parameter"] != PILOT]
    if of_pilots and any(one["parameter"] == JOB for one in rest):
        raise BadRequest(
            "Cannot combine 'PilotStamp' pseudo-parameter with a real 'JobID' filter in the same request."
        )
    where = visible(by)
    scope = f"jobs of {by.vo}" if len(where) == 1 else f"jobs of {by.name} in {by.vo}"
    for one in of_pilots:
        stamps = _stamps(one)
        attempts = select(Attempt.job_id).where(Attempt.pilot.in_(stamps))
        mapped = mapping.jobs_of(db, by.vo, stamps)
        where.append(or_(Job.job_id.in_(attempts), Job.job_id.in_(mapped)))
        scope += " with " + hashlib.sha256(orjson.dumps(sorted(stamps))).hexdigest()
    return core.Listing(COLUMNS, JOB, where, scope), rest


def _stamps(condition: Mapping[str, Any]) -> Collection[str]:
    if condition["operator"] not in ("eq", "in"):
        words = "'PilotStamp' pseudo-parameter supports the operators 'eq' and 'in' only, not"
        raise BadRequest(f"{words} {condition['operator']!r}.")
    is_list = condition["operator"] == "in"
    given = condition.get("values") if is_list else [condition.get("value")]
    return [str(one) for one in given or []]
