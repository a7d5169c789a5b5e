"""Tasks that send pilots where there is work for them, and follow what becomes of them."""

from functools import partial

from diracx_tasks.core.database import session
from diracx_tasks.core.deadlocks import patiently
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.task import task
from diracx_tasks.pilots import clean, logs, plan, secrets, site_tests, submit, sync, withdraw
from diracx_tasks.pilots.queues import has_queues, queues


@task(size="medium", every=60, per_vo=True, timeout=300)
def plan_pilots(vo: str) -> str:
    """Plan how many pilots go where for a VO's waiting jobs, and have them submitted."""
    if not has_queues(vo):
        return "no queues"
    with session() as db:
        found = patiently(db, partial(plan.plan_pilots, db, vo))
    return f"{found.new} pilots for {found.jobs} waiting jobs, {found.homeless} fit no queue"


@task(size="medium", lock="ce:{vo}/{ce}", retry=Backoff(first=5, times=3), dead_letter=False, subject="{ce}")
def submit_pilots(vo: str, ce: str) -> str:
    """Submit the pilots that are planned for a computing element, page by page."""
    taken = refused = 0
    while found := submit.submit_page(vo, ce):
        taken, refused = taken + found.taken, refused + found.refused
    return f"{taken} submitted, {refused} not taken"


@task(every=60, per_vo=True)
def follow_pilots(vo: str) -> str:
    """Ask each computing element what has become of a VO's pilots, and submit what is left of plans."""
    with session() as db:
        sync.forget_planned(db, vo)
        names = sync.elements_of(db, vo)
        for ce in names:
            enqueue(db, "pilots.sync_pilots", f"ce-{vo}/{ce}.sync", vo=vo, ce=ce)
            enqueue(db, "pilots.submit_pilots", f"ce-{vo}/{ce}.submit", vo=vo, ce=ce)
        for ce in withdraw.marked(db, vo):
            enqueue(db, "pilots.kill_pilots", f"ce-{vo}/{ce}.kill", vo=vo, ce=ce)
    return f"{len(names)} elements"


@task(size="medium", lock="ce:{vo}/{ce}", retry=Backoff(first=5, times=3), dead_letter=False, subject="{ce}")
def sync_pilots(vo: str, ce: str) -> str:
    """Write what a computing element knows of a VO's pilots into their rows."""
    return f"{sync.sync_pilots(vo, ce)} changed"


@task(size="medium", lock="ce:{vo}/{ce}", retry=Backoff(first=5, times=3), dead_letter=False, subject="{ce}")
def kill_pilots(vo: str, ce: str) -> str:
    """Have a computing element end the pilots that were withdrawn or killed, page by page."""
    total = 0
    while found := withdraw.kill_page(vo, ce):
        total += found
    return f"{total} ended"


@task(priority="realtime", retry=Backoff(first=2, times=3), dead_letter=False, subject="{stamp}")
def fetch_output(vo: str, stamp: str) -> str:
    """Ask a pilot's computing element for what it has written, because somebody wants to read it."""
    found = logs.fetch_output(vo, stamp)
    return f"{len(found.output)} letters of output, {len(found.errors)} of errors"


@task(size="medium", priority="background", every=3600, per_vo=True, timeout=1800)
def clean_pilots(vo: str) -> str:
    """End pilots that have been silent for three days; forget those that ended long ago, and old secrets."""
    stalled, total, is_more = clean.end_stalled(vo), 0, True
    while is_more:
        with session() as db:
            found, expired = clean.forget_old(db, vo), secrets.forget_expired(db)
        total, is_more = total + found, bool(found or expired)
    return f"{stalled} were silent, {total} forgotten"


@task(priority="background", cron="41 5 * * *", per_vo=True)
def test_sites(vo: str) -> str:
    """Submit a small job to each queue of a VO that may be used, to see whether it works."""
    with session() as db:
        found = site_tests.ask(db, vo, queues(vo), by=site_tests.service(vo))
    return f"{len(found)} queues are tested"


@task(priority="background", every=60, per_vo=True)
def look_at_tests(vo: str) -> str:
    """Note how tests of a VO's queues ended."""
    with session() as db:
        return f"{site_tests.look(db, vo)} tests ended"
