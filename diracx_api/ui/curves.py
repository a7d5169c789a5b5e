"""How what a job uses went on, drawn from its heartbeats: anew only when there is a new one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup
from sqlalchemy.orm import Session

from diracx_api.ui import spark
from diracx_api.ui.words import number
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs import beats

SERIES = {"MemoryUsed": ("Memory", "MB"), "CPUConsumed": ("CPU time", "s"), "LoadAverage": ("Load", "")}
KEPT = 256


@dataclass(frozen=True)
class Curve:
    """How an amount went on while the job ran."""

    name: str
    largest: str
    drawing: Markup


# By database and job: of which newest heartbeat they are. A page asks every two seconds.
_DRAWN: dict[tuple[str, int], tuple[datetime | None, list[Curve]]] = {}


def curves(db: Session, job_id: int) -> list[Curve]:
    """What the heartbeats say, of each amount that two of them have, to somebody who may see the job."""
    key, newest = (settings().database, job_id), beats.newest(db, job_id)
    known = _DRAWN.get(key)
    if known and known[0] == newest:
        return known[1]
    found = _curves(beats.beats_of(db, job_id)) if newest else []
    while len(_DRAWN) >= KEPT:
        _DRAWN.pop(next(iter(_DRAWN)), None)
    _DRAWN[key] = newest, found
    return found


def _curves(told: Sequence[dict[str, Any]]) -> list[Curve]:
    found = []
    for key, (name, unit) in SERIES.items():
        values = [float(beat[key]) for beat in told if isinstance(beat.get(key), int | float)]
        if len(values) > 1:
            most = f"{number(max(values))} {unit}".strip()
            label = f"{name}, {len(values)} heartbeats, at most {most}"
            found.append(Curve(name, most, spark.line(values, label)))
    return found
