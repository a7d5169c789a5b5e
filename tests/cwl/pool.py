"""An engine for each process of a pool."""

import atexit
import io
import json
import os
from pathlib import Path
from typing import Any

from cwltool.main import main

from tests.cwl.engine import Ended, Engine

_engine: list[Engine] = []


def start(work: Path, redis: str) -> None:
    """Make this process's engine, with a folder of its own; the Redis is for all."""
    _engine.append(Engine(work / f"engine-{os.getpid()}", redis))
    atexit.register(_engine[0].close)


def run(document: str, job: str | None, out: Path) -> Ended:
    """How a workflow ended."""
    return _engine[0].run(document, Path(job) if job else None, out)


def cwltool(document: str, job: str, out: Path) -> dict[str, Any] | None:
    """The outputs that cwltool alone gives; None when it fails."""
    printed = io.StringIO()
    options = ["--enable-dev", "--enable-ext", "--no-container", "--quiet", f"--outdir={out}"]
    code = main([*options, document, job], stdout=printed, stderr=io.StringIO())
    found: dict[str, Any] = json.loads(printed.getvalue() or "{}")
    return found if code == 0 else None
