"""How templates write times, sizes and numbers."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup, escape

from diracx_tasks.core import words
from diracx_tasks.core.database import now

DASH = "\u2013"


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
    told = words.ago((now() - found).total_seconds())
    iso = f"{found.isoformat(timespec='seconds')}Z"
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        iso, iso.replace("T", " ")[:-1], told
    )


def span(seconds: float | None) -> str:
    """A duration; a dash for None."""
    return DASH if seconds is None else words.span(seconds)


def size(number: float | None) -> str:
    """Bytes; a dash for None."""
    return DASH if number is None else words.size(number)


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
    "size_of_mb": words.size_of_mb,
    "number": number,
    "plural": plural,
    "prose": prose,
    "listed": listed,
    "query": query,
}
