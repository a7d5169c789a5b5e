"""One action on all jobs that a search finds: counted, asked for, carried out page by page.

Each page and how far that has come are one transaction, so that it goes on where a worker was lost. Only
jobs that were there when it was asked for are meant, and of these only those that still fit the search when
their turn comes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, case, delete, func, select, update
from sqlalchemy.orm import Session

from diracx_tasks.auth.rights import ADMIN, USER, must_own
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed, database_time, utc, utc_now
from diracx_tasks.core.errors import BadRequest, NotFound
from diracx_tasks.engine import dead_letters
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.jobs.act import POSSIBLE, Action, Done, act, at_once
from diracx_tasks.jobs.bulk_tables import BulkAction
from diracx_tasks.jobs.search import fitting
from diracx_tasks.jobs.status import Held, hold
from diracx_tasks.jobs.tables import Job

TASK = "jobs.act_in_bulk"
# One statement looks at so many numbers at most, also when few of them fit.
WINDOW = 200_000
# So many jobs are named for each reason why some stay as they are.
NAMED = 10
# Words may name a workflow: so many different ones are kept.
REASONS = 50
OTHER = "for other reasons"
KEPT_SECONDS = 30 * 86400

Conditions = Sequence[Mapping[str, Any]]


class Found(NamedTuple):
    """What a search finds: the asker's jobs by status, how many of these can be changed, and others' jobs."""

    by_status: dict[str, int]
    possible: int
    others: int

    @property
    def jobs(self) -> int:
        """How many of them are the asker's to change."""
        return sum(self.by_status.values())


def count(db: Session, action: Action, conditions: Conditions, *, by: User) -> Found:
    """What the action would be done to; changes nothing."""
    where = fitting(db, conditions, by=by)
    mine = func.count() if ADMIN in by.properties else func.sum(case((Job.owner == by.name, 1), else_=0))
    query = select(Job.status, func.count(), mine).where(*where).group_by(Job.status)
    rows = [(status, int(total), int(own)) for status, total, own in db.execute(query)]
    by_status = {status: own for status, _, own in sorted(rows) if own}
    possible = sum(own for status, own in by_status.items() if status in POSSIBLE[action])
    return Found(by_status, possible, sum(total - own for _, total, own in rows))


def refuse_everything(conditions: Conditions, *, is_all: bool) -> None:
    """Raise BadRequest when no condition is stated although not every job is said to be meant, or both.

    One that leaves out the jobs of an empty list is none.
    """
    if not conditions and not is_all:
        raise BadRequest("no condition is stated: say `all` if every job of yours is meant")
    if conditions and is_all:
        raise BadRequest("`all` and conditions are stated: which of them is meant?")
    for one in conditions:
        if one["operator"] == "not in" and one.get("values") == []:
            words = f"the condition on {one['parameter']} leaves nothing out"
            raise BadRequest(f"{words}: say `all` if every job of yours is meant")


def ask(db: Session, action: Action, conditions: Conditions, found: Found, *, by: User) -> int:
    """Have an action carried out on the jobs that a search finds now; answers the number to follow it by."""
    ends = select(func.min(Job.job_id), func.max(Job.job_id)).where(Job.vo == by.vo)
    first, last = db.execute(ends).one()
    asked = BulkAction(
        vo=by.vo,
        owner=by.name,
        is_admin=ADMIN in by.properties,
        action=action.value,
        search=[dict(one) for one in conditions],
        found=found.jobs,
        last=last or 0,
        reached=(first or 1) - 1,
        changed={},
        kept={},
        asked_at=database_time(db),
    )
    db.add(asked)
    db.flush()
    go_on(db, asked.bulk_id)
    return asked.bulk_id


def go_on(db: Session, bulk_id: int, *, delay: float = 0) -> None:
    """Ask for the task that carries it out, or goes on with it."""
    enqueue(db, TASK, _key(bulk_id), delay=delay, bulk_id=bulk_id)


def follow(db: Session, bulk_id: int, *, by: User) -> dict[str, Any]:
    """How far an action has come, and by which `trouble` it was stopped.

    NotFound in another VO, Forbidden unless it is the caller's to see.
    """
    row = db.get(BulkAction, bulk_id)
    if row is None or row.vo != by.vo:
        raise NotFound(f"there is no bulk action {bulk_id} in {by.vo}")
    must_own(by, owner=row.owner, vo=row.vo, what=f"bulk action {bulk_id}")
    letters = [] if row.ended_at else dead_letters.of_keys(db, [_key(bulk_id)])
    done = sum(row.changed.values()) + sum(one["jobs"] for one in row.kept.values())
    return {
        "bulk_id": bulk_id,
        "action": row.action,
        "search": row.search,
        "found": row.found,
        "done": done,
        "changed": row.changed,
        "kept": [{"reason": reason, **one} for reason, one in sorted(row.kept.items())],
        "asked_at": utc(row.asked_at),
        "ended_at": utc(row.ended_at),
        "trouble": dead_letters.last_words(letters[0]) if letters else None,
    }


def step(db: Session, bulk_id: int) -> bool:
    """Act on the next page of jobs; answers whether there may be more. Twice is harmless."""
    query = select(BulkAction.__table__).where(BulkAction.bulk_id == bulk_id).with_for_update()
    asked = db.execute(query).one_or_none()
    if asked is None or asked.EndedAt is not None:
        return False
    action = Action(asked.Action)
    by = User(asked.Owner, "", asked.VO, "", frozenset({ADMIN if asked.IsAdministrator else USER}))
    until = min(asked.ReachedJobID + WINDOW, asked.LastJobID)
    where = fitting(db, asked.Search, by=by)
    ids = _next(db, where, by, (asked.ReachedJobID, until), at_once(action))
    reached = ids[-1] if len(ids) == at_once(action) else until
    done = act(db, action, _still(db, where, ids, by), by=by)
    is_over = reached >= asked.LastJobID
    values = {**_added(asked, done), "reached": reached, "ended_at": utc_now() if is_over else None}
    changed(db, update(BulkAction).where(BulkAction.bulk_id == bulk_id).values(values))
    return not is_over


def told(db: Session, bulk_id: int) -> str:
    """How far it has come in words: `900 Killed, 12 kept, up to job 4711 of 9000`."""
    row = db.get(BulkAction, bulk_id, populate_existing=True)
    if row is None:
        return "forgotten"
    parts = [f"{count} {what}" for what, count in sorted(row.changed.items())]
    parts.append(f"{sum(one['jobs'] for one in row.kept.values())} kept")
    return ", ".join(parts if row.ended_at else [*parts, f"up to job {row.reached} of {row.last}"])


def forget(db: Session) -> int:
    """Forget what ended 30 days ago; answers how many."""
    return changed(db, delete(BulkAction).where(BulkAction.ended_at < utc_now(-KEPT_SECONDS)))


def _key(bulk_id: int) -> str:
    return f"bulk-{bulk_id}.act"


def _next(
    db: Session, where: Sequence[ColumnElement[bool]], by: User, between: tuple[int, int], limit: int
) -> list[int]:
    first, until = between
    mine = [] if ADMIN in by.properties else [Job.owner == by.name]
    query = select(Job.job_id).where(*where, *mine, Job.job_id > first, Job.job_id <= until)
    return list(db.scalars(query.order_by(Job.job_id).limit(limit)))


def _still(db: Session, where: Sequence[ColumnElement[bool]], ids: list[int], by: User) -> list[Held]:
    """The jobs, held, that fit now: one may have moved on before it was held."""
    if not ids:
        return []
    held = hold(db, ids)
    fit = set(db.scalars(select(Job.job_id).where(*where, Job.job_id.in_(held))))
    is_admin = ADMIN in by.properties
    # The database may take `Alice` for `alice`.
    return [job for job_id, job in held.items() if job_id in fit and (is_admin or job.owner == by.name)]


def _added(asked: Row[Any], done: Done) -> dict[str, Any]:
    sums = dict(asked.Changed)
    for what, count in done.changed.items():
        sums[str(what)] = sums.get(str(what), 0) + count
    kept = {why: dict(one) for why, one in asked.Kept.items()}
    for reason, ids in done.kept.items():
        why = reason if reason in kept or len(kept) < REASONS else OTHER
        old = kept.get(why, {"jobs": 0, "first": []})
        kept[why] = {"jobs": old["jobs"] + len(ids), "first": [*old["first"], *sorted(ids)][:NAMED]}
    return {"changed": sums, "kept": kept}
