"""Tasks for a real worker (`celery worker -I`): one that goes on until a test lets it end, one that fails."""

import time
from pathlib import Path

from diracx_tasks.engine import task
from diracx_tasks.engine.retries import Backoff


@task.task(name="tests.slow", size="medium", lock="job:{number}", subject="job-{number}")
def slow(folder: str, number: int) -> str:
    """Say that it has begun, and end once it may."""
    place = Path(folder)
    with (place / f"begun-{number}").open("a") as file:
        file.write("once\n")
    while not (place / f"end-{number}").exists():
        time.sleep(0.05)
    return f"{number} has ended"


@task.task(name="tests.bad", retry=Backoff(first=0.1, times=1))
def bad(number: int) -> str:
    """Fail."""
    raise ValueError(f"no luck with {number}")
