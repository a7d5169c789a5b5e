"""Fan-out over any number of children and fan-in when all have ended: state in SQL, so the count is right.

Children go to workers in chunks, in the queue of their task. Each child has its own locks, limits and tries;
one whose tries are used up is a dead letter and counts as failed.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, database_time, reading, session, utc_now
from diracx_tasks.core.errors import NotFound
from diracx_tasks.core.origin import origin
from diracx_tasks.engine import dead_letters, history, outbox
from diracx_tasks.engine.declared import REGISTRY
from diracx_tasks.engine.execute import REFUSED, Result, outcome_of
from diracx_tasks.engine.overrides import effective
from diracx_tasks.engine.run import Later, Run, this_run
from diracx_tasks.engine.tables import Child, FanOut

CHUNK = 100
PAGE = 1000
WORDS = 4000
# A chunk gives others their turn after so many seconds.
TURN = 20.0
WAITING = "Waiting"
# (child, its run, how it ended)
Ended = tuple[Child, Run, Result]


def fan_out(
    db: Session,
    task: str,
    children: Iterable[dict[str, Any]],
    *,
    then: str | None = None,
    key: str | None = None,
    chunk: int = CHUNK,
    **arguments: Any,
) -> int:
    """Run a task once with each of the arguments, then `then` with its own under `key`; answers the number.

    `then` runs once, also when children have failed or there are none; `results` has what came of them.
    Raises InvalidArguments for the first child that does not fit.
    """
    fan = FanOut(
        task=task,
        then_task=then,
        then_key=key,
        then_arguments=arguments,
        created_at=utc_now(),
        enqueued_by=origin().by,
        total=0,
        pending=0,
        failed=0,
    )
    db.add(fan)
    db.flush()
    total = 0
    for page in _pages(children):
        rows = [
            {"fan_id": fan.fan_id, "number": total + i, "arguments": one, "state": WAITING, "tries": 0}
            for i, one in enumerate(page)
        ]
        for one in page:
            REGISTRY[task].check(one)
        db.execute(insert(Child), rows)
        total += len(rows)
    fan.total = fan.pending = total
    db.flush()
    starts = range(0, total, chunk)
    calls = [
        (f"fan-{fan.fan_id}.{first}", {"fan_id": fan.fan_id, "first": first, "count": chunk, "task": task})
        for first in starts
    ]
    outbox.enqueue_many(db, "engine.run_children", calls)
    if not total:
        _settle(db, fan.fan_id, 0, 0)
    return fan.fan_id


def work(fan_id: int, first: int, count: int, task: str) -> str:
    """Run the children of a chunk that wait; raises Later when some have to wait longer."""
    declared = REGISTRY[task]
    mine = (Child.fan_id == fan_id, Child.number.between(first, first + count - 1), Child.state == WAITING)
    with reading() as db:
        query = select(Child).where(*mine, (Child.due_at.is_(None)) | (Child.due_at <= utc_now()))
        children = db.scalars(query.order_by(Child.number)).all()
    until, ended = time.monotonic() + TURN, []
    for child in children:
        run = _run_of(child, effective(declared, child.arguments.get("vo")))
        ended.append((child, run, outcome_of(run)))
        if time.monotonic() > until:
            break
    with session() as db:
        _keep(db, fan_id, ended)
        next_due = db.execute(select(func.count(), func.min(Child.due_at)).where(*mine)).one()
        pause = _pause(db, *next_due) if next_due[0] else None
    if pause is not None:
        raise Later(pause, f"{next_due[0]} of fan-out {fan_id} wait")
    return f"{len(ended)} of fan-out {fan_id}"


def status(db: Session, fan_id: int) -> dict[str, Any]:
    """How far a fan-out is: total, pending, failed; NotFound when there is none."""
    found = db.get(FanOut, fan_id)
    if found is None:
        raise NotFound(f"there is no fan-out {fan_id}")
    return {
        name: getattr(found, name) for name in ("fan_id", "task", "total", "pending", "failed", "ended_at")
    }


def results(db: Session, fan_id: int) -> Iterator[tuple[int, str, str | None]]:
    """Number, state and words of every child in order, page by page."""
    last = -1
    while True:
        query = select(Child.number, Child.state, Child.words).where(
            Child.fan_id == fan_id, Child.number > last
        )
        page = db.execute(query.order_by(Child.number).limit(PAGE)).all()
        if not page:
            return
        yield from ((row.number, row.state, row.words) for row in page)
        last = page[-1].number


def clean(db: Session, days: float) -> int:
    """Forget the fan-out that ended first, if that is longer ago; answers how many rows went."""
    old = (
        select(FanOut.fan_id).where(FanOut.ended_at < utc_now(-days * 86400)).order_by(FanOut.fan_id).limit(1)
    )
    fan_id = db.scalar(old)
    if fan_id is None:
        return 0
    numbers = list(db.scalars(select(Child.number).where(Child.fan_id == fan_id).limit(PAGE)))
    if numbers:
        return changed(db, delete(Child).where(Child.fan_id == fan_id, Child.number.in_(numbers)))
    return changed(db, delete(FanOut).where(FanOut.fan_id == fan_id))


def _run_of(child: Child, task: Any) -> Run:
    parent = this_run()
    run = Run(task, f"fan-{child.fan_id}.{child.number}.run", child.arguments, tries=child.tries)
    if parent:
        run.worker, run.origin = parent.worker, parent.origin
        run.origin.parent = parent.key
    return run


def _keep(db: Session, fan_id: int, ended: list[Ended]) -> None:
    """Store how children ended and count down; the last one asks for what comes then."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for child, run, result in ended:
        if result.wait is not None:
            _postpone(db, child, run, result)
            continue
        state = history.DONE if result.kind == history.DONE else history.FAILED
        groups[state, result.words[-WORDS:]].append(child.number)
        _remember(db, child, run, result)
    done = {history.DONE: 0, history.FAILED: 0}
    for (state, words), numbers in groups.items():
        mine = (Child.fan_id == fan_id, Child.number.in_(numbers), Child.state == WAITING)
        done[state] += changed(db, update(Child).where(*mine).values(state=state, words=words))
    if any(done.values()):
        _settle(db, fan_id, sum(done.values()), done[history.FAILED])


def _postpone(db: Session, child: Child, run: Run, result: Result) -> None:
    tries = child.tries
    if result.kind != REFUSED:
        tries += 1
        history.write(db, run.row(history.FAILED, result.words))
    mine = (Child.fan_id == child.fan_id, Child.number == child.number)
    changed(db, update(Child).where(*mine).values(tries=tries, due_at=utc_now(result.wait or 0)))


def _remember(db: Session, child: Child, run: Run, result: Result) -> None:
    if result.kind == history.DONE:
        history.note(run.row(history.DONE, result.words), is_small=run.task.size == "small")
        return
    row = run.row(history.DEAD, result.words)
    history.write(db, row)
    if run.task.dead_letter:
        dead_letters.bury(db, {**row, "tries": run.tries + 1}, since=None, error=result.words)


def _settle(db: Session, fan_id: int, ended: int, failed: int) -> None:
    counted = {"pending": FanOut.pending - ended, "failed": FanOut.failed + failed}
    changed(db, update(FanOut).where(FanOut.fan_id == fan_id).values(**counted))
    # The UPDATE holds the row: of two chunks that end at once, one sees 0.
    db.expire_all()
    fan = db.get_one(FanOut, fan_id)
    if fan.pending:
        return
    fan.ended_at = utc_now()
    if fan.then_task:
        key = fan.then_key or f"fan-{fan_id}.then"
        outbox.enqueue(db, fan.then_task, key, **fan.then_arguments)


def _pages(children: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    rest = iter(children)
    while page := list(islice(rest, PAGE)):
        yield page


def _pause(db: Session, count: int, due: datetime | None) -> float:
    return max(0.0, (due - database_time(db)).total_seconds()) if due else 0.0
