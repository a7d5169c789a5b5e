"""Periodic work of the engine."""

from diracx_tasks.core.database import session
from diracx_tasks.engine import outbox
from diracx_tasks.engine.task import task


@task(priority="realtime", every=5)
def sweep_outbox() -> str:
    """Publish again what is due, and everything after the broker lost its memory."""
    with session() as db:
        return f"{outbox.sweep(db)} published"
