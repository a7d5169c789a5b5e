"""When something is due: every so many seconds, as cron says, or by a rule (RFC 5545). All in UTC.

A time that cannot be read, that never comes, or that would take long to find is refused where it is stated.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import prod
from typing import Any

from celery.schedules import ParseException, crontab
from dateutil.rrule import rrulestr

from diracx_tasks.core.errors import BadRequest

# Without a DTSTART a rule counts from here (a Monday), so that all beats agree.
START = datetime(2024, 1, 1)
# The next time of what is not due any more.
NEVER = datetime(9999, 1, 1)
# A time that is farther away than this is taken for one that never comes.
FAR = timedelta(days=3660)
KINDS = ("every", "cron", "rrule")
LONGEST = 200
CRON_FIELD = re.compile(r"((\*|\w+(-\w+)?)(/\d+)?,)*(\*|\w+(-\w+)?)(/\d+)?", re.ASCII)
RULE = "it is `FREQ=...;...` in UTC, with `DTSTART:20260101T030000Z` before it if need be"
BYS = "BYSECOND BYMINUTE BYHOUR BYDAY BYMONTHDAY BYYEARDAY BYWEEKNO BYMONTH BYSETPOS"
PARTS = frozenset({"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", *BYS.split()})
UNITS = {
    "MINUTELY": timedelta(minutes=1),
    "HOURLY": timedelta(hours=1),
    "DAILY": timedelta(days=1),
    "WEEKLY": timedelta(weeks=1),
}
DAY = timedelta(days=1)
# dateutil counts one by one from DTSTART, and tries every day of a year.
MOST_COUNT = 10_000
MOST_TIMES = 50
# It looks for a time until the year 9999. The calendar repeats itself after 400 years: there are fewer left.
CYCLES = 19 * 400


@dataclass(frozen=True)
class Timing:
    """One of the three; `every` is in seconds, `cron` wants both its day of the month and of the week."""

    every: float | None = None
    cron: str | None = None
    rrule: str | None = None

    def __post_init__(self) -> None:
        """Refuse what never comes or cannot be read; BadRequest says why."""
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise BadRequest("state exactly one of every, cron and rrule")
        if self.every is not None and not 0.5 <= self.every <= 366 * 86400:
            raise BadRequest(f"every {self.every} s: it must be from half a second to a year")
        if len(self.cron or self.rrule or "") > LONGEST:
            raise BadRequest(f"{str(self)[:40]}...: it must not be longer than {LONGEST} characters")
        # Not from now: what has ended can still be read, and a restart must not fail because of it.
        if self.after(self._start() - timedelta(seconds=1)) == NEVER:
            raise BadRequest(f"{self} is never due")

    def after(self, moment: datetime) -> datetime:
        """The first time after a moment, both in UTC without saying so; NEVER when there is none."""
        if self.every is not None:
            return moment + timedelta(seconds=self.every)
        found = self._cron(moment) if self.cron is not None else self._rrule(moment)
        return NEVER if found is None or found > moment + FAR else found

    def stored(self) -> dict[str, Any]:
        """As it is kept in SQL and JSON."""
        return {kind: value for kind in KINDS if (value := getattr(self, kind)) is not None}

    def __str__(self) -> str:
        """As a person writes it: `every 30 s`, `cron 0 3 * * *`, `rrule FREQ=HOURLY`."""
        if self.every is not None:
            return f"every {self.every:.12g} s"
        return f"cron {self.cron}" if self.cron is not None else f"rrule {self.rrule}"

    def _start(self) -> datetime:
        return START if self.rrule is None else _rule(self.rrule).start

    def _cron(self, moment: datetime) -> datetime:
        fields = (self.cron or "").split()
        aware = moment.replace(tzinfo=UTC)
        try:
            if len(fields) != 5 or not all(CRON_FIELD.fullmatch(one) for one in fields):
                raise ValueError("it has five fields: `*`, `5`, `1-5`, `*/10`, `mon`, or several with commas")
            schedule = crontab.from_string(" ".join(fields))
            schedule.tz, schedule.nowfun = UTC, lambda: aware
            ahead: timedelta = schedule.remaining_estimate(aware)
        except (ParseException, ValueError, TypeError, OverflowError, RuntimeError) as error:
            raise BadRequest(f"cron {self.cron!r} cannot be read: {error}") from error
        return moment + ahead

    def _rrule(self, moment: datetime) -> datetime | None:
        text = self.rrule or ""
        rule = _rule(text)
        try:
            started = rrulestr(rule.text, dtstart=_in_cycles(rule.near(moment), CYCLES))
            found = started.after(_in_cycles(moment, CYCLES))
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
            raise _unreadable(text, error) from error
        found = _in_cycles(found, -CYCLES) if found else None
        return None if found and rule.until and found > rule.until else found


@dataclass(frozen=True)
class _Rule:
    """A rule's text without its start and end, which are beside it."""

    text: str
    start: datetime
    until: datetime | None
    period: timedelta | None

    def near(self, moment: datetime) -> datetime:
        """A start at the same times shortly before a moment: one period more, as the first may be cut."""
        if self.period is None or moment < self.start:
            return self.start
        return self.start + max(0, (moment - self.start) // self.period - 1) * self.period


def timing_of(stored: dict[str, Any]) -> Timing:
    """A timing from how it is kept."""
    return Timing(**{kind: stored.get(kind) for kind in KINDS})


@lru_cache(1024)
def _rule(text: str) -> _Rule:
    try:
        words = text.upper().split()
        start = START
        if len(words) == 2 and words[0].startswith("DTSTART:"):
            start = _date(words.pop(0).removeprefix("DTSTART:"))
        if len(words) != 1 or not 2000 <= start.year < 2400:
            raise ValueError(RULE)
        parts = _parts(words[0].removeprefix("RRULE:"))
        until = _date(parts.pop("UNTIL")) if "UNTIL" in parts else None
        unit = UNITS.get(parts["FREQ"])
        is_counted = "COUNT" in parts
        period = unit * int(parts.get("INTERVAL", 1)) if unit and not is_counted else None
        return _Rule(";".join(f"{name}={value}" for name, value in parts.items()), start, until, period)
    except (ValueError, OverflowError) as error:
        raise _unreadable(text, error) from error


def _parts(text: str) -> dict[str, str]:
    """The parts of a rule by name; ValueError for what is wrong, and for what would take long to find."""
    parts: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        if name not in PARTS or name in parts or not value:
            raise ValueError(f"{part!r}: {RULE}")
        parts[name] = value
    freq, interval = parts.get("FREQ", ""), int(parts.get("INTERVAL", 1))
    if freq not in (*UNITS, "MONTHLY", "YEARLY"):
        raise ValueError("FREQ is YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY or MINUTELY; below, use `every`")
    if interval < 1 or not 1 <= int(parts.get("COUNT", 1)) <= MOST_COUNT:
        raise ValueError(f"INTERVAL is 1 or more, COUNT from 1 to {MOST_COUNT}")
    _check_effort(parts, UNITS.get(freq, DAY), interval)
    return parts


def _check_effort(parts: dict[str, str], unit: timedelta, interval: int) -> None:
    counts = [parts.get(name, "").count(",") + 1 for name in ("BYHOUR", "BYMINUTE", "BYSECOND", "BYSETPOS")]
    if unit >= DAY and prod(counts) > MOST_TIMES:
        raise ValueError(f"it is due more than {MOST_TIMES} times a day: use FREQ=HOURLY or MINUTELY")
    # These would be looked for minute by minute, for years.
    rare = {"BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"} & parts.keys()
    if unit < DAY and rare:
        raise ValueError(f"{', '.join(sorted(rare))}: use FREQ=DAILY with BYHOUR and BYMINUTE")
    if unit <= DAY and "BYSETPOS" in parts:
        raise ValueError("BYSETPOS goes with FREQ=WEEKLY, MONTHLY and YEARLY")
    if unit < DAY and "BYDAY" in parts and DAY % (unit * interval):
        raise ValueError("with BYDAY a day must be a multiple of the INTERVAL")


def _date(text: str) -> datetime:
    form = "%Y%m%dT%H%M%S" if "T" in text else "%Y%m%d"
    return datetime.strptime(text.removesuffix("Z"), form)


def _in_cycles(moment: datetime, years: int) -> datetime:
    return moment.replace(year=moment.year + years)


def _unreadable(text: str, error: Exception) -> BadRequest:
    return BadRequest(f"rrule {text!r} cannot be read: {error}")
