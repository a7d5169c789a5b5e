"""Plots of reports: what was used over time, and how many jobs were in which state."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from diracx_tasks.accounting.plot import Plot, svg
from diracx_tasks.accounting.report import DAY, HOUR, STEPS, Question, floored, states, usage
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import database_time
from diracx_tasks.core.errors import BadRequest

# What is shown of attempts, and its name.
MEASURES = {
    "core_seconds": "core time",
    "cpu_seconds": "CPU time",
    "wall_seconds": "wall time",
    "attempts": "attempts that ended",
}
# From so many steps on an hour, or a snapshot, is too thin to be seen.
MOST_STEPS = 400
# A plot of days may have so many.
MOST_DAYS = 4000
# Added up here, and not sent: the sites of a VO, hour by hour for a week, are more than an answer may have.
MOST_ROWS = 100_000
# Steps of snapshots, in minutes; they are taken every five.
STATE_MINUTES = (5, 15, 30, 60, 120, 360)
UNITS = (("years", 365 * 86400), ("days", 86400), ("hours", 3600), ("minutes", 60), ("seconds", 1))
Row = tuple[datetime | None, Mapping[str, Any], float]


def of_usage(db: Session, question: Question, measure: str, *, by: User) -> str:
    """What attempts used over time, as SVG; `measure` is one of MEASURES.

    Without a bucket it is the hour for up to about two weeks, and the day beyond.
    """
    since, until = question.period(database_time(db))
    bucket = question.bucket or (HOUR if (until - since) / STEPS[HOUR] <= MOST_STEPS else DAY)
    asked = replace(question, since=since, until=until, bucket=bucket)
    found = usage(db, asked, by=by, most=MOST_ROWS)
    rows: list[Row] = [(one.at, one.of, getattr(one, measure)) for one in found]
    unit, seconds = ("attempts", 1) if measure == "attempts" else _unit(rows)
    title = f"{by.vo}: {MEASURES[measure]}{_by(question)}, each {bucket}"
    start = floored(since, STEPS[bucket])
    plot = Plot(title, unit, start, until, STEPS[bucket], _series(rows, seconds))
    _must_be_short(plot)
    return svg(plot)


def of_states(db: Session, question: Question, *, by: User) -> str:
    """How many jobs were in each state over time, as SVG; of a long time only some snapshots are shown."""
    since, until = question.period(database_time(db), timedelta(days=1))
    minutes = next(
        (one for one in STATE_MINUTES if (until - since) / timedelta(minutes=one) <= MOST_STEPS), 0
    )
    step = timedelta(minutes=minutes) if minutes else STEPS[DAY]
    found = states(db, replace(question, since=since, until=until), by=by, step=step, most=MOST_ROWS)
    rows: list[Row] = [(floored(one.at, step), one.of, one.jobs) for one in found]
    title, start, series = f"{by.vo}: jobs{_by(question)}", floored(since, step), _series(rows, 1)
    plot = Plot(title, "jobs", start, until, step, series, is_sum=False)
    _must_be_short(plot)
    return svg(plot)


def _must_be_short(plot: Plot) -> None:
    if (count := len(plot.times)) > MOST_DAYS:
        raise BadRequest(f"a plot has {MOST_DAYS} steps at most, not {count}: ask for a shorter time")


def _series(rows: Iterable[Row], scale: float) -> dict[str, dict[datetime, float]]:
    found: dict[str, dict[datetime, float]] = {}
    for at, of, amount in rows:
        name = " / ".join(str(one) for one in of.values()) or "all"
        assert at is not None
        found.setdefault(name, {})[at] = amount / scale
    return found


def _unit(rows: Iterable[Row]) -> tuple[str, float]:
    """The largest unit of time of which the largest sum of a bucket has at least one."""
    sums: dict[datetime | None, float] = {}
    for at, _, seconds in rows:
        sums[at] = sums.get(at, 0.0) + seconds
    most = max(sums.values(), default=0.0)
    return next((one for one in UNITS if most >= one[1]), UNITS[-1])


def _by(question: Question) -> str:
    words = [name.replace("_", " ").removesuffix(" id") for name in question.by]
    return f" by {', '.join(words)}" if words else ""
