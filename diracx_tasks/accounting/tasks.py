"""Tasks of accounting."""

import time
from collections.abc import Callable
from functools import partial

from sqlalchemy.orm import Session

from diracx_tasks.accounting import send_snapshots as sending
from diracx_tasks.accounting import snapshots, usage
from diracx_tasks.core import opensearch
from diracx_tasks.core.database import database_time, reading, session
from diracx_tasks.core.deadlocks import patiently
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.task import task

# So many snapshots are sent in one turn: after OpenSearch was away for a while the rest waits.
SENT_AT_ONCE = 24
# Counting goes on for so many seconds each minute; an upgrade leaves millions to be counted.
TURN = 45.0


# By the clock and not after an interval: that might begin twice in one bucket, and in the next not at all.
@task(size="medium", priority="background", cron="*/5 * * * *")
def snapshot() -> str:
    """Count the jobs in each state, once for each 300 s."""
    with reading() as db:
        found = snapshots.look(db, database_time(db))
    if found is None:
        return "taken already"
    with session() as db:
        is_stored = snapshots.store(db, found)
        if is_stored and opensearch.is_used():
            enqueue(db, sending.SEND, sending.SEND)
    return f"{found.jobs} jobs of {len(found.counts)} kinds" if is_stored else "taken already"


@task(size="medium", priority="background", every=600, retry=Backoff(first=5, times=8, cap=120))
def send_snapshots() -> str:
    """Bring snapshots into OpenSearch; the period is a safety net."""
    if not opensearch.is_used():
        return "no OpenSearch"
    with reading() as db:
        due = sending.due(db, SENT_AT_ONCE)
    for at in due:
        first, count = 0, sending.PAGE
        while count == sending.PAGE:
            with reading() as db:
                page = sending.page_of(db, at, first)
            sending.send(page)
            first, count = first + len(page), len(page)
        with session() as db:
            sending.note_sent(db, at)
    return f"{len(due)} snapshots sent"


@task(size="medium", priority="background", every=60)
def gather() -> str:
    """Add up what attempts that have ended used, page by page; what its turn is too short for comes later."""
    total, until = 0, time.monotonic() + TURN
    while True:
        with session() as db:
            found = patiently(db, partial(usage.gather, db))
        total += found
        if found < usage.PAGE or time.monotonic() >= until:
            return f"{total} attempts counted"


@task(size="medium", priority="background", cron="53 3 * * *", timeout=1800)
def forget() -> str:
    """Forget snapshots, records and sums whose time is over, page by page."""
    kinds = (snapshots.forget, usage.forget_records, usage.forget_sums)
    old, records, sums = (_all_of(verb) for verb in kinds)
    return f"{old} snapshots, {records} records, {sums} sums forgotten"


def _all_of(verb: Callable[[Session], int]) -> int:
    total = 0
    while True:
        with session() as db:
            found = verb(db)
        total += found
        if not found:
            return total
