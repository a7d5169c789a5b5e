"""Tasks of the life of a job."""

import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from sqlalchemy.orm import Session

from diracx_tasks.core import opensearch
from diracx_tasks.core.database import reading, session
from diracx_tasks.core.deadlocks import patiently
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.task import task
from diracx_tasks.jobs import bulk, parameters, recover, submissions
from diracx_tasks.jobs import expand as expanding
from diracx_tasks.jobs import optimize as optimizing
from diracx_tasks.jobs import purge as purging
from diracx_tasks.jobs import reconcile as reconciling
from diracx_tasks.jobs import send_parameters as sending
from diracx_tasks.jobs.submit import ask_for_optimizer

# A task gives others their turn after so many seconds.
TURN = 20.0
PAUSE = 1.0


@task(size="medium", priority="realtime", every=30)
def optimize() -> str:
    """Bring received jobs into the matcher's queue, batch by batch; the period is a safety net."""
    total, found, until = 0, optimizing.BATCH, time.monotonic() + TURN
    while found >= optimizing.BATCH and time.monotonic() < until:
        with session() as db:
            found = optimizing.optimize(db)
            total += found
    if found >= optimizing.BATCH:
        with session() as db:
            ask_for_optimizer(db)
    return f"{total} optimized"


@task(size="medium", every=300)
def requeue() -> str:
    """Bring the matcher's queue in line with what waits, batch by batch."""
    return f"{_in_batches(optimizing.requeue)} differed"


@task(size="medium", lock="job:{job_id}:expand")
def expand(job_id: int) -> str:
    """Make the jobs of a parametric one, chunk by chunk."""
    while True:
        with session() as db:
            made, total = expanding.expand(db, job_id)
        if made == total:
            return f"{total} jobs"


@task(priority="background", cron="17 3 * * *")
def forget_submissions() -> str:
    """Forget which requests made which jobs after a week: nobody repeats them any more."""
    total = 0
    while True:
        with session() as db:
            found = submissions.forget(db)
        total += found
        if not found:
            return f"{total} forgotten"


@task(size="medium", priority="background", every=600, per_vo=True)
def purge(vo: str) -> str:
    """Remove a VO's old jobs page by page; what its turn is too short for is asked for again."""
    done, until = Counter[purging.Deed](), time.monotonic() + TURN
    for rule in purging.rules(vo):
        page = purging.Page(0, True)
        while page.is_full and time.monotonic() < until:
            with session() as db:
                page = patiently(db, partial(purging.purge, db, rule))
            done[rule.deed] += page.changed
        if page.is_full:
            with session() as db:
                enqueue(db, "jobs.purge", f"vo-{vo}.purge_jobs", vo=vo, delay=PAUSE)
            break
    return purging.told(done)


@task(size="medium", lock="task:jobs.act_in_bulk-{bulk_id}")
def act_in_bulk(bulk_id: int) -> str:
    """Kill, delete, remove or reschedule what a search finds, page by page; goes on where it was."""
    is_more, until = True, time.monotonic() + TURN
    while is_more and time.monotonic() < until:
        with session() as db:
            is_more = patiently(db, partial(bulk.step, db, bulk_id))
    with session() as db:
        if is_more:
            bulk.go_on(db, bulk_id, delay=PAUSE)
        return bulk.told(db, bulk_id)


@task(priority="background", cron="29 4 * * *")
def forget_bulk() -> str:
    """Forget bulk actions that ended 30 days ago."""
    with session() as db:
        return f"{bulk.forget(db)} forgotten"


@task(every=5)
def check_stalled() -> str:
    """Find jobs whose pilot has gone silent."""
    return f"{recover.check_overdue()} overdue"


@task(size="medium", every=300)
def reconcile() -> str:
    """Put right what no other task would, and count it: it should never be."""
    return f"{sum(reconciling.reconcile().values())} found"


@task(size="medium", every=30, retry=Backoff(first=1, times=8, cap=30))
def send_parameters() -> str:
    """Bring news of job parameters into OpenSearch; the period is a safety net."""
    total, until = 0, time.monotonic() + TURN
    while opensearch.is_used() and time.monotonic() < until:
        with reading() as db:
            jobs = sending.due(db)
        if not jobs:
            break
        documents = sending.look(jobs)
        with reading() as db:
            documents = sending.fill(db, documents)
        sent = sending.send(documents)
        with session() as db:
            sending.settle(db, sent)
        total += len(sent.done)
        if sent.trouble:
            raise sent.trouble
    return f"{total} sent"


@task(priority="background", cron="41 4 * * *")
def send_refused_parameters() -> str:
    """Have what OpenSearch refused be sent once more each day: its limits may be others now."""
    with session() as db:
        return f"{parameters.send_refused(db)} to be sent again"


def _in_batches(verb: Callable[[Session], int]) -> int:
    """Carry out a verb, each time in a transaction, until it finds less than a batch; answers how many."""
    total, found = 0, optimizing.BATCH
    while found >= optimizing.BATCH:
        with session() as db:
            found = verb(db)
        total += found
    return total
