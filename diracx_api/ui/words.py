"""How templates write times, sizes and numbers."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup, escape

from diracx_tasks.core.database import now

MINUTE, HOUR, DAY = 60, 3600, 86400
DASH = "\u2013"
KILO = 1000


def moment(value: datetime | str | None) -> datetime | None:
    """A time in UTC without its zone, of what the database or the API's verbs say."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if value is not None and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return value


def ago(value: datetime | str | None) -> Markup:
    """How long ago, or in how long, with the time itself on the pointer."""
    found = moment(value)
    if found is None:
        return Markup(DASH)
    seconds = (now() - found).total_seconds()
    words = f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"
    iso = f"{found.isoformat(timespec='seconds')}Z"
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        iso, iso.replace("T", " ")[:-1], words
    )


def span(seconds: float | None) -> str:
    """A duration in its two largest units."""
    if seconds is None:
        return DASH
    if seconds < MINUTE:
        return f"{int(seconds)} s" if seconds >= 10 or seconds == int(seconds) else f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min {int(seconds % MINUTE)} s"
    if seconds < DAY:
        return f"{seconds // HOUR:.0f} h {seconds % HOUR // MINUTE:.0f} min"
    return f"{seconds // DAY:.0f} d {seconds % DAY // HOUR:.0f} h"


def size(number: float | None) -> str:
    """Bytes, in the unit that makes the number short."""
    if number is None:
        return DASH
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(number) < KILO:
            return f"{number:.3g} {unit}" if unit != "B" else f"{number:.0f} B"
        number /= KILO
    return f"{number:.3g} PB"


def number(value: float | None) -> str:
    """A number with thin spaces between thousands."""
    if value is None:
        return DASH
    return f"{value:,.0f}".replace(",", "\u2009") if value == int(value) else f"{value:.3g}"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 job`, `2 jobs`."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def prose(text: str) -> Markup:
    """A sentence; what it has between backticks is code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    marks = (Markup("<code>{}</code>").format(one) if n % 2 else escape(one) for n, one in enumerate(parts))
    return Markup("").join(marks)


def listed(value: Any) -> Any:
    """A list's members, with commas between them; anything else as it is."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple | set) else value


def query(given: Mapping[str, Any], **changed: Any) -> str:
    """A query string with some parts changed; empty ones are left out."""
    found = {name: value for name, value in {**given, **changed}.items() if value not in (None, "", [])}
    return f"?{urlencode(found, doseq=True)}" if found else "?"


FILTERS: dict[str, Callable[..., Any]] = {
    "ago": ago,
    "span": span,
    "size": size,
    "number": number,
    "plural": plural,
    "prose": prose,
    "listed": listed,
    "query": query,
}
