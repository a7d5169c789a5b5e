"""When periodic tasks ran last, and how it went."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import now, session
from diracx_tasks.engine.tables import PeriodicRun


@dataclass
class Record:
    """What a run says of itself."""

    outcome: str = ""


@contextmanager
def recorded(task: str) -> Iterator[Record]:
    """Store start, end and outcome of one run; an exception is stored and goes on."""
    record = Record()
    with session() as db:
        db.merge(PeriodicRun(task=task, started_at=now(), ended_at=None, outcome=None))
    try:
        yield record
    except Exception:
        record.outcome = traceback.format_exc()[-4000:]
        raise
    finally:
        with session() as db:
            run = db.get(PeriodicRun, task)
            if run:
                run.ended_at, run.outcome = now(), record.outcome


def runs(db: Session) -> dict[str, PeriodicRun]:
    """The last run of each periodic task."""
    return {run.task: run for run in db.scalars(select(PeriodicRun))}
