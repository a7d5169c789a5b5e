"""Tasks that keep the matcher in step with the database, and those that set its policy."""

import logging
from functools import partial

from diracx_tasks.core.database import reading, session
from diracx_tasks.core.deadlocks import patiently
from diracx_tasks.core.settings import settings
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.engine.task import task
from diracx_tasks.matching import batch, health, limits, queue, shares, store, sweep, use

log = logging.getLogger(__name__)


@task(size="medium", priority="realtime", lock="task:matching.rebuild@{vo}", timeout=600)
def rebuild(vo: str) -> str:
    """Make a VO's queue in Redis from the database."""
    with reading() as db:
        return f"{sweep.rebuild(db, vo)} jobs queued"


@task(every=10)
def expire_leases() -> str:
    """Return jobs that were taken and never claimed, of each VO whatever is wrong with others."""
    with reading() as db:
        vos = queue.vos(db)
    total, errors = 0, []
    for vo in vos:
        try:
            total += _expired(vo)
        except Exception as error:
            log.exception("leases of %s are not returned", vo)
            errors.append(error)
    if errors:
        raise errors[0]
    return f"{total} returned"


@task(every=60)
def reconcile() -> str:
    """Ask for a comparison of each VO's queue with the database."""
    with session() as db:
        vos = queue.vos(db)
        for vo in vos:
            enqueue(db, "matching.compare", f"vo-{vo}.compare", vo=vo)
    return f"{len(vos)} VOs"


@task(size="medium", lock="task:matching.compare@{vo}", timeout=600)
def compare(vo: str) -> str:
    """Bring queue and database in line: what is missing in Redis goes there, what waits no more leaves it."""
    with reading() as db:
        chunks = sweep.chunks(db, vo)
    differed = 0
    for chunk in chunks:
        with reading() as db:
            differed += sweep.compare(db, vo, chunk)
    return f"{differed} differed"


@task(priority="background", every=600, per_vo=True)
def collect(vo: str) -> str:
    """Forget job classes that have had no jobs for a while, in the database and in Redis."""
    with session() as db:
        dropped = sweep.collect(db, vo)
    with reading() as db:
        return f"{dropped} classes dropped, {sweep.forget_unknown(db, vo)} more in Redis"


@task(priority="realtime", every=10, per_vo=True)
def recount(vo: str) -> str:
    """Count what runs under limits."""
    with reading() as db:
        return limits.recount(db, vo, patience=settings().lease_seconds).value


@task(every=5, per_vo=True)
def look(vo: str) -> str:
    """Slow down nodes and sites on which jobs fail, and let go of those that do better."""
    with reading() as db:
        return f"{health.look(db, vo)} slowed"


@task(every=60, per_vo=True)
def count_use(vo: str) -> str:
    """Add up what groups and owners have used."""
    total, found = 0, use.PAGE
    while found == use.PAGE:
        with session() as db:
            found = patiently(db, partial(use.count, db, vo))
        total += found
    return f"{total} attempts counted"


@task(every=120, per_vo=True)
def recompute_shares(vo: str) -> str:
    """Work out the weights of tiers, groups and owners."""
    with reading() as db:
        return f"{len(shares.recompute(db, vo))} weights"


@task(priority="background", cron="23 3 * * *", per_vo=True)
def forget_use(vo: str) -> str:
    """Forget what was used more than 30 days ago."""
    with session() as db:
        return f"{use.forget(db, vo)} forgotten"


@task(every=30, per_vo=True)
def match_batches(vo: str) -> str:
    """Ask for a batch for each computing element whose nodes cannot call out."""
    names = batch.elements(vo)
    with session() as db:
        for ce in names:
            enqueue(db, "matching.match_batch", f"ce-{vo}/{ce}.match", vo=vo, ce=ce)
    return f"{len(names)} elements"


@task(size="medium", lock="task:matching.match_batch@{vo}/{ce}", dead_letter=False, subject="{ce}")
def match_batch(vo: str, ce: str) -> str:
    """Match jobs for a computing element and hand them over."""
    found = batch.match_batch(vo, ce)
    return f"{found.taken} handed over, {found.given_back} given back"


def _expired(vo: str) -> int:
    """Return a VO's overdue leases, page by page."""
    total, before, taken = 0, None, None
    while taken is None or (len(taken) == store.SLICE and taken != before):
        before, taken = taken, store.overdue(vo)
        with reading() as db:
            total += sweep.expire(db, vo)
    return total
