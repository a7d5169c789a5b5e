"""When something is due: every so many seconds, as cron says, or by a rule (RFC 5545). All in UTC."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import ParseException, crontab
from dateutil.rrule import rrulestr

from diracx_tasks.core.errors import BadRequest

# A rule whose next time is farther away than this is taken for one that never comes.
FAR = timedelta(days=3660)
KINDS = ("every", "cron", "rrule")


@dataclass(frozen=True)
class Timing:
    """One of the three; `every` is in seconds."""

    every: float | None = None
    cron: str | None = None
    rrule: str | None = None

    def __post_init__(self) -> None:
        """Refuse what never comes or cannot be read; BadRequest says why."""
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise BadRequest("state exactly one of every, cron and rrule")
        if self.every is not None and not (math.isfinite(self.every) and 0.5 <= self.every <= 366 * 86400):
            raise BadRequest(f"every {self.every} s: it must be from half a second to a year")
        self.after(datetime.now(UTC).replace(tzinfo=None))

    def after(self, moment: datetime) -> datetime:
        """The first time after a moment; both in UTC without saying so."""
        if self.every is not None:
            return moment + timedelta(seconds=self.every)
        found = self._cron(moment) if self.cron is not None else self._rrule(moment)
        if found is None or found > moment + FAR:
            raise BadRequest(f"{self} is never due after {moment:%Y-%m-%d %H:%M}")
        return found

    def stored(self) -> dict[str, Any]:
        """As it is kept in SQL and JSON."""
        return {kind: value for kind in KINDS if (value := getattr(self, kind)) is not None}

    def __str__(self) -> str:
        """As a person writes it: `every 30 s`, `cron 0 3 * * *`, `rrule FREQ=HOURLY`."""
        if self.every is not None:
            return f"every {self.every:g} s"
        return f"cron {self.cron}" if self.cron is not None else f"rrule {self.rrule}"

    def _cron(self, moment: datetime) -> datetime | None:
        try:
            schedule = crontab.from_string(self.cron)
            schedule.nowfun = lambda: moment.replace(tzinfo=UTC)
            ahead: timedelta = schedule.remaining_estimate(moment.replace(tzinfo=UTC))
        except (ParseException, ValueError, TypeError, OverflowError) as error:
            raise BadRequest(f"cron {self.cron!r} cannot be read: {error}") from error
        return moment + ahead

    def _rrule(self, moment: datetime) -> datetime | None:
        text = self.rrule or ""
        try:
            # Without a DTSTART the rule counts from the start of 2024 (a Monday), so that all beats agree.
            rule = rrulestr(text, dtstart=datetime(2024, 1, 1))
            found = rule.after(moment)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise BadRequest(f"rrule {text!r} cannot be read: {error}") from error
        return found.replace(tzinfo=None) if found else None


def timing_of(stored: dict[str, Any]) -> Timing:
    """A timing from how it is kept."""
    return Timing(**{kind: stored.get(kind) for kind in KINDS})
