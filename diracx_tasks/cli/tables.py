"""Tables that fit the terminal: words are cut off, columns left out, or rows become names and values."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from diracx_tasks.cli.complaints import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

Row = dict[str, Any]
Cells = list["RenderableType"]
# Between two columns.
GAP = 2
# Words are not cut shorter than this: a lesser column goes first.
SHORT = 16
FAINT = "bright_black"


class Column(NamedTuple):
    """A column of a table: its title, and a row's cell in it.

    Words of one that `is_cut` may end with an ellipsis, those of one that `wraps` go on in the next line.
    Where there is no room, columns with a number in `goes` are left out, 1 before 2; those with 0 stay.
    """

    title: str
    cell: Callable[[Row], Any]
    is_number: bool = False
    is_cut: bool = False
    goes: int = 0
    wraps: bool = False

    @property
    def gives(self) -> bool:
        """Whether its words need not have all their room."""
        return self.is_cut or self.wraps


class Fitted(NamedTuple):
    """What is drawn, and the titles of the columns for which there was no room."""

    drawn: "RenderableType"
    left_out: list[str]


def fitted(rows: Iterable[Row], columns: Iterable[Column], width: int) -> Fitted:
    """Rows below titles within a width; columns without any words are left out."""
    rows = list(rows)
    cells = {column: [cell(column.cell(row)) for row in rows] for column in columns}
    widths = {column: max(map(_width, found), default=0) for column, found in cells.items()}
    shown = [column for number, column in enumerate(cells) if widths[column] or not number]
    widths = {column: max(len(column.title), widths[column]) for column in shown}
    left_out: list[str] = []
    going = sorted((column for column in shown if column.goes), key=lambda column: column.goes)
    while _least(widths) > width:
        if not going:
            return Fitted(
                _records([{one: cells[one][row] for one in widths} for row in range(len(rows))]), []
            )
        left_out.append(going[0].title)
        del widths[going.pop(0)]
    return Fitted(_table(cells, _cut(widths, width)), left_out)


def facts(pairs: Iterable[tuple[str, Any]]) -> "Table":
    """Names and values below each other; values that are None or empty are left out."""
    from rich.table import Table

    made = Table.grid(padding=(0, 2))
    made.add_column()
    # What is too long for the line goes on below: it may be an address to be copied.
    made.add_column(overflow="fold")
    for name, value in pairs:
        if value not in (None, "", [], {}):
            made.add_row(cell(name, FAINT), cell(value))
    return made


def cell(value: Any, style: str = "") -> "RenderableType":
    """A value in a table: as it is if rich can draw it, else its text without control characters."""
    from rich.text import Text

    if hasattr(value, "__rich_console__") or hasattr(value, "__rich__") or isinstance(value, Text):
        drawn: RenderableType = value
        return drawn
    return Text("" if value is None else one_line(str(value)), style=style)


def _width(drawn: Any) -> int:
    # A progress bar states its own width.
    width: int = drawn.cell_len if hasattr(drawn, "cell_len") else drawn.width
    return width


def _least(widths: dict[Column, int]) -> int:
    least = [min(most, SHORT) if column.gives else most for column, most in widths.items()]
    return sum(least) + GAP * (len(least) - 1)


def _cut(widths: dict[Column, int], width: int) -> dict[Column, int]:
    """The widths, those of words shared out evenly so that all have room."""
    room = width - GAP * (len(widths) - 1) - sum(most for one, most in widths.items() if not one.gives)
    found = dict(widths)
    cut = sorted((column for column in widths if column.gives), key=lambda column: widths[column])
    for number, column in enumerate(cut):
        found[column] = min(widths[column], room // (len(cut) - number))
        room -= found[column]
    return found


def _table(cells: dict[Column, Cells], widths: dict[Column, int]) -> "Table":
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column, width in widths.items():
        side: Any = "right" if column.is_number else "left"
        made.add_column(
            column.title,
            justify=side,
            width=width,
            no_wrap=not column.wraps,
            overflow="fold" if column.wraps else "ellipsis",
        )
    for row in zip(*(cells[column] for column in widths), strict=True):
        made.add_row(*row)
    return made


def _records(rows: Sequence[dict[Column, "RenderableType"]]) -> "RenderableType":
    """Each row as names and values below each other."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for row in rows:
        parts += [Text(), facts((column.title, str(one) and one) for column, one in row.items())]
    return Group(*parts[1:])
