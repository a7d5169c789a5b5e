"""Fan-out over any number of children and fan-in when all have ended: state in SQL, so the count is right.

Children go to workers in chunks, in the queue of their task. Each child has its own locks, limits and tries;
one whose tries are used up is a dead letter and counts as failed.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, database_time, reading, session, utc_now
from diracx_tasks.core.errors import NotFound
from diracx_tasks.core.origin import origin
from diracx_tasks.engine import dead_letters, history, outbox
from diracx_tasks.engine.declared import REGISTRY, Declared
from diracx_tasks.engine.execute import REFUSED, NeverEnded, Result, outcome_of
from diracx_tasks.engine.overrides import effective
from diracx_tasks.engine.run import Later, Run, plain, this_run
from diracx_tasks.engine.tables import Child, FanOut

CHUNK = 100
# So many that never began count their tries in one statement.
GROUP = 20
# What has ended is stored after so many seconds at the latest, or when a child has ended.
GROUP_SECONDS = 2.0
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
    arguments: dict[str, Any] | None = None,
    key: str | None = None,
    chunk: int = CHUNK,
) -> int:
    """Run a task once with each of the arguments, then `then` with its own under `key`; answers the number.

    `then` runs once, also when children have failed or there are none; `results` has what came of them.
    Raises InvalidArguments for the first child, or `then`, that does not fit.
    """
    if then:
        REGISTRY[then].check(arguments or {})
    fan = FanOut(
        task=task,
        then_task=then,
        then_key=key,
        then_arguments=arguments or {},
        created_at=utc_now(),
        enqueued_by=origin().by,
        total=0,
        pending=0,
        failed=0,
    )
    db.add(fan)
    db.flush()
    total = _store(db, fan.fan_id, task, children)
    fan.total = fan.pending = total
    db.flush()
    calls = [
        (f"fan-{fan.fan_id}.{first}", {"fan_id": fan.fan_id, "first": first, "count": chunk, "task": task})
        for first in range(0, total, chunk)
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
    total = 0
    until = time.monotonic() + TURN
    for group in _groups(children):
        total += _run_group(fan_id, group, declared)
        if time.monotonic() > until:
            break
    with reading() as db:
        due = func.min(func.coalesce(Child.due_at, utc_now()))
        left, next_due = db.execute(select(func.count(), due).where(*mine)).one()
        pause = max(0.0, (next_due - database_time(db)).total_seconds()) if left else None
    if pause is not None:
        raise Later(pause, f"{left} of fan-out {fan_id} wait")
    return f"{total} of fan-out {fan_id}"


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


def _store(db: Session, fan_id: int, task: str, children: Iterable[dict[str, Any]]) -> int:
    total = 0
    for page in _pages(children):
        for one in page:
            REGISTRY[task].check(one)
        rows = [
            {"fan_id": fan_id, "number": total + i, "arguments": one, "state": WAITING, "tries": 0}
            for i, one in enumerate(page)
        ]
        db.execute(insert(Child), rows)
        total += len(rows)
    return total


def _groups(children: Sequence[Child]) -> Iterator[list[Child]]:
    """Those that never began together, others alone: one that kills its process is found out so."""
    fresh = [child for child in children if not child.tries]
    for first in range(0, len(fresh), GROUP):
        yield fresh[first : first + GROUP]
    yield from ([child] for child in children if child.tries)


def _run_group(fan_id: int, group: list[Child], declared: Declared) -> int:
    """Count a try of each, run them, and store how they ended; answers how many have ended."""
    with session() as db:
        numbers = [child.number for child in group]
        begun = update(Child).where(Child.fan_id == fan_id, Child.number.in_(numbers))
        changed(db, begun.values(tries=Child.tries + 1))
    ended: list[Ended] = []
    until = time.monotonic() + GROUP_SECONDS
    for child in group:
        run = _run_of(child, effective(declared, child.arguments.get("vo")))
        is_late = bool(ended) and time.monotonic() > until
        ended.append((child, run, Result(REFUSED, "its turn comes", 0.0) if is_late else _outcome(run)))
    with session() as db:
        _keep(db, fan_id, ended)
    return len(ended)


def _outcome(run: Run) -> Result:
    if run.tries > run.task.retry.times:
        words = f"its process died, or did not end, in each of {run.tries} tries"
        return Result(history.DEAD, words, None, NeverEnded(words))
    return outcome_of(run)


def _run_of(child: Child, task: Declared) -> Run:
    run = Run(task, f"fan-{child.fan_id}.{child.number}.run", child.arguments, tries=child.tries)
    if parent := this_run():
        run.worker, run.origin = parent.worker, replace(parent.origin, parent=parent.key)
    return run


def _keep(db: Session, fan_id: int, ended: list[Ended]) -> None:
    """Store how children ended and count down; the last one asks for what comes then."""
    groups: dict[tuple[str, str], list[Ended]] = defaultdict(list)
    for one in ended:
        child, run, result = one
        if result.wait is not None:
            _postpone(db, child, run, result)
            continue
        state = history.DONE if result.kind == history.DONE else history.FAILED
        groups[state, plain(result.words)[-WORDS:]].append(one)
    done = {history.DONE: 0, history.FAILED: 0}
    for (state, words), those in groups.items():
        numbers = [child.number for child, _, _ in those]
        mine = (Child.fan_id == fan_id, Child.number.in_(numbers), Child.state == WAITING)
        count = changed(db, update(Child).where(*mine).values(state=state, words=words))
        done[state] += count
        # Another run of the same chunk was quicker: it has kept all this.
        if count == len(those):
            for _, run, result in those:
                _remember(db, run, result)
    if any(done.values()):
        _settle(db, fan_id, sum(done.values()), done[history.FAILED])


def _postpone(db: Session, child: Child, run: Run, result: Result) -> None:
    # A try was counted when it began; waiting is none.
    tries = child.tries + (result.kind != REFUSED)
    if result.kind != REFUSED:
        history.write(db, run.row(history.FAILED, result.words))
    mine = (Child.fan_id == child.fan_id, Child.number == child.number)
    changed(db, update(Child).where(*mine).values(tries=tries, due_at=utc_now(result.wait or 0)))


def _remember(db: Session, run: Run, result: Result) -> None:
    if result.kind == history.DONE:
        history.note(run.row(history.DONE, result.words), is_small=run.task.size == "small")
        return
    row = run.row(history.DEAD, result.words)
    history.write(db, row)
    if run.task.dead_letter:
        tries = run.tries + (0 if isinstance(result.error, NeverEnded) else 1)
        dead_letters.bury(db, {**row, "tries": tries}, since=None, error=row["words"])


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
