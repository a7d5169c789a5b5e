"""The engine's own tasks."""

from diracx_tasks.core.database import session
from diracx_tasks.core.settings import settings
from diracx_tasks.engine import dead_letters, fan, history
from diracx_tasks.engine.task import task


@task(subject="fan-{fan_id}")
def run_children(fan_id: int, first: int, count: int, task: str) -> str:
    """Run a chunk of a fan-out's children, in the queue of their task."""
    return fan.work(fan_id, first, count, task)


@task(size="medium", priority="background", cron="17 3 * * *", timeout=1800)
def clean_history() -> str:
    """Forget runs, resolved dead letters and fan-outs that are older than DIRACX_HISTORY_DAYS."""
    total, days = 0, settings().history_days
    for clean in (history.clean, dead_letters.clean, fan.clean):
        while True:
            with session() as db:
                found = clean(db, days)
            total += found
            if not found:
                break
    return f"{total} forgotten"
