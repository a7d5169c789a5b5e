"""The muon community's tasks, lock kind and schedule, and its own cleaning of sandboxes."""

import logging

from sqlalchemy import func, insert, select

from diracx_tasks.core.database import reading, session
from diracx_tasks.engine.batches import call_many
from diracx_tasks.engine.fan import fan_out
from diracx_tasks.engine.policies import Concurrent, Read, lock_kind
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.run import Later
from diracx_tasks.engine.schedules import schedule
from diracx_tasks.engine.task import task
from diracx_tasks.engine.timing import Timing

from .tables import Hit

log = logging.getLogger(__name__)
CHAMBERS = ("inner", "middle", "outer")

lock_kind("chamber", "one chamber of the muon detector")


@task(lock="chamber:{chamber}", limit=Concurrent(2), retry=Backoff(first=0.1, times=1))
def align(run_id: int, chamber: str) -> str:
    """Align a chamber with the muons of a run."""
    log.warning("chamber %s is off by 2 mm", chamber)
    if chamber not in CHAMBERS:
        raise ValueError(f"there is no chamber {chamber}")
    return f"{chamber} aligned"


@task(lock=tuple(Read(f"chamber:{chamber}") for chamber in CHAMBERS))
def survey(run_id: int) -> str:
    """Store a hit of a run in every chamber, and align all of them."""
    calls = [{"run_id": run_id, "chamber": chamber} for chamber in CHAMBERS]
    with session() as db:
        call_many(db, "muon.store", calls)
        fan_out(
            db,
            "muon.align",
            calls,
            then="muon.finish",
            key=f"run-{run_id}.finish",
            arguments={"run_id": run_id},
        )
    return f"{len(calls)} chambers"


@task()
def finish(run_id: int) -> str:
    """End the survey of a run."""
    return f"run {run_id} is surveyed"


@task()
def wait_for_beam(run_id: int) -> str:
    """Wait until there are muons for a run."""
    raise Later(3600, f"there is no beam for run {run_id} yet")


@task(batch=100)
def store(calls: list[dict[str, int | str]]) -> str:
    """Store many hits in one statement."""
    with session() as db:
        db.execute(insert(Hit).values(calls))
    return f"{len(calls)} stored"


@task(every=1)
def watch() -> str:
    """Count what is stored."""
    with reading() as db:
        return f"{db.scalar(select(func.count()).select_from(Hit))} hits"


@task(name="sandboxes.clean_sandboxes", override=True, size="small", every=2)
def clean_sandboxes() -> str:
    """Keep every sandbox: the muon community archives them."""
    return "kept for the archive"


schedule("muon.align@inner", "muon.align", Timing(every=1), run_id=7, chamber="inner")
