"""What the tasks did, as rows that can be counted and compared with what was asked."""

import os
import time
from pathlib import Path

from sqlalchemy import text

from diracx_tasks.core.database import reading, session

TABLE = (
    "CREATE TABLE IF NOT EXISTS Effects (Kind VARCHAR(32), Number INT, Runs INT, PRIMARY KEY (Kind, Number))"
)
UPSERT = text(
    "INSERT INTO Effects (Kind, Number, Runs) VALUES (:kind, :number, 1)"
    " ON DUPLICATE KEY UPDATE Runs = Runs + 1"
)


def prepare() -> None:
    """Make the table."""
    with session() as db:
        db.execute(text(TABLE))


def effects(kind: str) -> dict[int, int]:
    """How often each number had its effect."""
    with reading() as db:
        rows = db.execute(text("SELECT Number, Runs FROM Effects WHERE Kind = :kind"), {"kind": kind})
        return {number: runs for number, runs in rows}


def happen(kind: str, number: int, seconds: float = 0) -> str:
    """Take a while, then have the effect; a file says that it has begun."""
    if seconds:
        (Path(os.environ["DIRACX_DATA"]) / f"{kind}-{number}").touch()
        time.sleep(seconds)
    with session() as db:
        db.execute(UPSERT, {"kind": kind, "number": number})
    return "happened"
