"""What administrators see of tasks, as rows for the command line and the API."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from string import Formatter
from typing import Any, Literal

from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import database_time, utc
from diracx_tasks.core.errors import NotFound, Unavailable
from diracx_tasks.engine import broker, dead_letters, history, locks, outbox, schedules
from diracx_tasks.engine.declared import REGISTRY, Declared
from diracx_tasks.engine.overrides import effective
from diracx_tasks.engine.policies import Concurrent, Limit, Rate
from diracx_tasks.engine.queues import QUEUES
from diracx_tasks.engine.tables import DeadLetter, Outbox, Schedule, TaskRun
from diracx_tasks.engine.timing import timing_of

Row = dict[str, Any]
State = Literal["Waiting", "Backing off", "Done", "Failed", "Dead", "Revoked"]
WAITING, BACKING_OFF = "Waiting", "Backing off"
# What a waiting task is about is not stored: to find it, so many of the oldest are looked at.
SCANNED = 10_000


def registered() -> list[Row]:
    """Every task with what it declares and the configuration says."""
    return [_declared_row(effective(one)) for _, one in sorted(REGISTRY.items())]


def page(
    db: Session,
    *,
    state: str | None = None,
    task: str | None = None,
    subject: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Row]:
    """Tasks that wait or run, oldest first, then runs that have ended, newest first; `before` pages these.

    Waiting are also those that are backing off.
    """
    found: list[Row] = []
    waits = state in (WAITING, BACKING_OFF)
    if (state is None or waits) and not before:
        found = _waiting(db, state, task, subject, limit)
    if not waits and len(found) < limit:
        rest = limit - len(found)
        runs = history.search(db, task=task, outcome=state, subject=subject, before=before, limit=rest)
        found += [_run_row(run) for run in runs]
    return found


def waiting(
    db: Session, state: str | None = None, task: str | None = None, subject: str | None = None
) -> int:
    """How many wait or run of what `page` gives; of those about one subject among the oldest SCANNED."""
    if subject is not None:
        return len(_waiting(db, state, task, subject, SCANNED))
    query = select(func.count()).select_from(Outbox)
    query = query.where(Outbox.task == task) if task else query
    return int(db.scalar(query.where(Outbox.tries > 0) if state == BACKING_OFF else query) or 0)


def _waiting(db: Session, state: str | None, task: str | None, subject: str | None, limit: int) -> list[Row]:
    is_plain = subject is None and state != BACKING_OFF
    rows = map(_waiting_row, outbox.of_task(db, task, limit if is_plain else SCANNED))
    fits = (
        row for row in rows if subject in (None, row["subject"]) and state in (None, WAITING, row["state"])
    )
    return list(islice(fits, limit))


def describe(db: Session, key: str) -> Row:
    """Everything under a key: whether it waits, its runs with errors, dead letters, parent and children."""
    waits, runs, letters = outbox.find(db, key), history.of_key(db, key), dead_letters.of_key(db, key)
    if not (waits or runs or letters):
        raise NotFound(f"nothing is known under {key!r}: see `diracx tasks list`")
    newest: Any = waits or (runs or letters)[0]
    declared = REGISTRY.get(newest.task)
    return {
        "key": key,
        "task": newest.task,
        "about": declared.about if declared else "",
        "arguments": newest.arguments,
        "subject": _subject(newest.task, newest.arguments),
        "enqueued_by": newest.enqueued_by,
        "parent": newest.parent,
        "children": sorted({*outbox.children(db, key), *history.children(db, key)}),
        "waiting": _waiting_row(waits) if waits else None,
        "runs": [{**_run_row(run), "words": run.words} for run in runs],
        "dead": [letter_row(one) for one in letters],
    }


def queues(workers: list[Row] | None = None) -> list[Row]:
    """The nine queues: what waits and runs there, since when, and how many workers look after it.

    Workers take a second to answer: who has asked them already says what they said.
    """
    lengths = broker.waiting()
    workers = broker.workers() if workers is None else workers
    ages = broker.ages(lengths)
    running = [one["queue"] for worker in workers for one in worker["running"]]
    rows = []
    for queue in QUEUES:
        age = ages[queue]
        rows.append(
            {
                "queue": queue,
                "waiting": lengths[queue],
                "running": running.count(queue),
                "oldest_seconds": None if age is None else round(age, 1),
                "workers": sum(queue in worker["queues"] for worker in workers),
            }
        )
    return rows


def totals(db: Session) -> Row:
    """The backlog and how many dead letters there are."""
    return {**backlog(db), "dead": sum(dead_letters.total(db).values())}


def backlog(db: Session) -> Row:
    """What waits in the outbox and since when in seconds, how late the schedule is, and which beat leads."""
    oldest = db.scalar(select(func.min(Outbox.created_at)))
    age = (database_time(db) - oldest).total_seconds() if oldest else 0.0
    leads = schedules.leader(db)
    return {
        "pending": outbox.pending(db),
        "oldest_seconds": round(age, 1),
        "schedule_lag_seconds": round(schedules.lag(db), 1),
        "leader": leads[0] if leads and leads[1] else None,
    }


def schedule(db: Session) -> list[Row]:
    """Every entry of the schedule: when it is due, when it ran, how that went."""
    return [schedule_row(row) for row in schedules.entries(db)]


def schedule_row(row: Schedule) -> Row:
    """One entry."""
    return {
        "name": row.name,
        "task": row.task,
        "arguments": row.arguments,
        "timing": str(timing_of(row.own_timing or row.timing)),
        "origin": "operator" if row.own_timing else row.origin,
        "state": row.state,
        "next": utc(row.next_at),
        "last": utc(row.last_started_at),
        "seconds": row.last_seconds,
        "outcome": row.last_outcome,
        "words": row.last_words,
    }


def dead(
    db: Session, *, task: str | None = None, state: str | None = dead_letters.DEAD, **paging: Any
) -> list[Row]:
    """Dead letters with the last line of their last error, newest first."""
    rows = [letter_row(one) for one in dead_letters.page(db, state=state, task=task, **paging)]
    return [{name: row[name] for name in row if name != "errors"} for row in rows]


def letter_row(letter: DeadLetter) -> Row:
    """One dead letter with every error."""
    return {
        "letter_id": letter.letter_id,
        "key": letter.key,
        "task": letter.task,
        "arguments": letter.arguments,
        "state": letter.state,
        "tries": letter.tries,
        "error": _last_line(letter.errors[-1]["error"]) if letter.errors else "",
        "errors": letter.errors,
        "enqueued_by": letter.enqueued_by,
        "parent": letter.parent,
        "created": utc(letter.created_at),
        "died": utc(letter.died_at),
        "resolved": utc(letter.resolved_at),
        "resolved_by": letter.resolved_by,
    }


def limits() -> list[Row]:
    """Every limit that tasks declare, with how much of it is used now, object by object."""
    with redis_in_words():
        held = {str(one["name"]): one for one in locks.holders("limit")}
    rows = []
    for _, declared in sorted(REGISTRY.items()):
        for limit in effective(declared).limits:
            rows += _limit_rows(declared, limit, held)
    return rows


def held_locks() -> list[Row]:
    """Every lock that is held: how, by how many, and for how many seconds their leases last."""
    with redis_in_words():
        return locks.holders("lock")


@contextmanager
def redis_in_words() -> Iterator[None]:
    """What Redis does not do in the block is Unavailable."""
    try:
        yield
    except RedisError as error:
        raise Unavailable(f"Redis does not answer: {error}; see DIRACX_REDIS_URL") from error


def _declared_row(one: Declared) -> Row:
    return {
        "task": one.name,
        "about": one.about,
        "queue": one.queue,
        "enabled": one.is_enabled,
        "timing": str(one.timing) if one.timing else None,
        "per_vo": one.per_vo,
        "locks": [lock.template for lock in one.locks],
        "limits": [_limit_words(limit) for limit in one.limits],
        "tries": one.retry.times + 1,
        "timeout": one.timeout,
        "memory": one.memory,
        "batch": one.batch or None,
        "dead_letter": one.dead_letter,
        "arguments": sorted(one.arguments.model_fields),
    }


def _limit_words(limit: Limit) -> str:
    when = f"in {limit.seconds:g} s" if isinstance(limit, Rate) else "at once"
    return f"{limit.count} {when}" + (f" per {limit.per}" if limit.per else "")


def _limit_rows(declared: Declared, limit: Limit, held: dict[str, Row]) -> list[Row]:
    way = "concurrent" if isinstance(limit, Concurrent) else "rate"
    template = limit.per or declared.name
    # A field of the template may be anything.
    parts = [re.escape(text) + (".+" if name else "") for text, name, _, _ in Formatter().parse(template)]
    window = f"{re.escape(f'{limit.seconds:g}')}:" if isinstance(limit, Rate) else ""
    wanted = re.compile(f"{way}:{window}({''.join(parts)})", re.DOTALL)
    about = {"task": declared.name, "limit": _limit_words(limit)}
    rows = [
        {**about, "object": found[1], "used": one["holders"]}
        for name, one in held.items()
        if (found := wanted.fullmatch(name))
    ]
    return rows or [{**about, "object": template, "used": 0}]


def _waiting_row(row: Outbox) -> Row:
    return {
        "key": row.key,
        "task": row.task,
        "state": BACKING_OFF if row.tries else WAITING,
        "subject": _subject(row.task, row.arguments),
        "try": row.tries + 1,
        "at": utc(row.created_at),
        "due": utc(row.due_at) if not row.published else None,
        "seconds": None,
        "words": "",
        "worker": None,
        "run_id": None,
    }


def _run_row(run: TaskRun) -> Row:
    return {
        "key": run.key,
        "task": run.task,
        "state": run.outcome,
        "subject": run.subject,
        "try": run.tries,
        "at": utc(run.started_at),
        "due": None,
        "seconds": round(run.seconds, 3),
        "words": _last_line(run.words),
        "worker": run.worker,
        "run_id": run.run_id,
    }


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def _subject(task: str, arguments: Row) -> str | None:
    declared = REGISTRY.get(task)
    return declared.subject_of(arguments) if declared else None
