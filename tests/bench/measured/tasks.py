"""Tasks that do nothing, one update, an update under every policy, and updates in batches."""

import time

from pydantic import BaseModel
from sqlalchemy import text

from diracx_tasks.core.database import session
from diracx_tasks.core.redis import redis
from diracx_tasks.engine.policies import Concurrent, Rate
from diracx_tasks.engine.task import task

UPDATE = text("UPDATE bench SET n = n + 1 WHERE id = :id")
STAMPS = "bench:stamps"


class Change(BaseModel):
    """One call of the batch task."""

    id: int


@task()
def noop(number: int) -> str:
    """Nothing."""
    return "done"


@task()
def update(number: int) -> str:
    """One update by primary key in its own transaction."""
    return update_one(number)


@task(lock="job:{number}", limit=(Concurrent(1000), Rate(1_000_000, 1)))
def guarded(number: int) -> str:
    """The same under a lock and two limits."""
    return update_one(number)


def update_one(number: int) -> str:
    """One update by primary key in its own transaction."""
    with session() as db:
        db.execute(UPDATE, {"id": number % 1000 + 1})
    return "done"


@task(batch=1000)
def batched(changes: list[Change]) -> str:
    """A thousand updates in one statement."""
    rows = ", ".join(f"({change.id % 1000 + 1}, 1)" for change in changes)
    with session() as db:
        db.execute(text(f"INSERT INTO bench (id, n) VALUES {rows} ON DUPLICATE KEY UPDATE n = n + 1"))
    return "done"


@task()
def stamp(number: int, sent: float) -> str:
    """Say how long it took from the request to here, in ms."""
    redis().rpush(STAMPS, (time.time() - sent) * 1000)
    return "done"
