"""Pieces of Markdown."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; what would end a cell is escaped."""
    lines = [_row(head), "|" + "---|" * len(head), *(_row(row) for row in rows)]
    return "\n".join(lines)


def code(text: object) -> str:
    """The text as code, nothing for nothing."""
    return f"`{text}`" if str(text) else ""


def sentence(text: str | None) -> str:
    """The first paragraph in one line."""
    return " ".join((text or "").strip().split("\n\n")[0].split())


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("\n", " ").replace("|", "\\|") for cell in cells) + " |"
