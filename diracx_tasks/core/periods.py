"""Search conditions on times: `2026`, `2026-11` and `2026-11-23T10` are periods, as in DiracX."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, false, or_

from diracx_tasks.core.errors import BadRequest

PARTIAL = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[ T](\d\d)(?::(\d\d)(?::(\d\d)(?:\.\d+)?)?)?(?:Z|\+00:00)?)?)?)?"
)
STEPS = {3: timedelta(days=1), 4: timedelta(hours=1), 5: timedelta(minutes=1), 6: timedelta(seconds=1)}
OPERATORS: dict[str, Callable[[Any, datetime, datetime], Any]] = {
    "eq": lambda column, start, end: and_(column >= start, column < end),
    "neq": lambda column, start, end: or_(column < start, column >= end),
    "gt": lambda column, start, end: column >= end,
    "lt": lambda column, start, end: column < start,
}


def compare(column: Any, operator: str, value: Any) -> Any:
    """A condition on a time; BadRequest for what is no time, and for texts' operators."""
    if operator in ("in", "not in"):
        inside = or_(false(), *(compare(column, "eq", one) for one in value))
        return inside if operator == "in" else ~inside
    if operator not in OPERATORS:
        raise BadRequest(f"Operator {operator!r} is not supported for times")
    return OPERATORS[operator](column, *period(value))


def period(text: Any) -> tuple[datetime, datetime]:
    """Start and end of the period that a partial time stands for."""
    found = PARTIAL.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise BadRequest(f"Cannot parse value={text!r} as a time")
    parts = [int(part) for part in found.groups() if part is not None]
    try:
        year, month, *_ = start = [*parts, 1, 1][:3] if len(parts) < 3 else parts
        begin = datetime(*start)  # type: ignore[arg-type]
        if len(parts) == 1:
            return begin, datetime(year + 1, 1, 1)
        if len(parts) == 2:
            return begin, datetime(year + month // 12, month % 12 + 1, 1)
        return begin, begin + STEPS[len(parts)]
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"Cannot parse value={text!r} as a time: {error}") from error
