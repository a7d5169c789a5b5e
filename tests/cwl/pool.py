"""An engine for each process of a pool."""

import atexit
import os
from pathlib import Path

from tests.cwl.engine import Ended, Engine

_engine: list[Engine] = []


def start(work: Path, redis: str) -> None:
    """Make this process's engine, with a folder of its own; the Redis is for all."""
    _engine.append(Engine(work / f"engine-{os.getpid()}", redis))
    atexit.register(_engine[0].close)


def run(document: str, job: str | None, out: Path) -> Ended:
    """How a workflow ended."""
    return _engine[0].run(document, Path(job) if job else None, out)
