"""What is shown again and again: redrawn in place at a terminal, printed whenever it changes in a pipe."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from diracx_tasks.cli import output
from diracx_tasks.cli.complaints import one_line
from diracx_tasks.cli.tables import FAINT
from diracx_tasks.core.errors import Unavailable, Unreachable

if TYPE_CHECKING:
    from rich.console import RenderableType

SECONDS = 2.0
T = TypeVar("T")


def _never(_: object) -> bool:
    return False


def answers(
    ask: Callable[[], T], is_over: Callable[[T], bool] = _never, seconds: float | None = None
) -> Iterator[tuple[T, str]]:
    """What is answered, every so many seconds until it is over, and why there is no newer answer.

    A server that does not answer the first time raises as it does anywhere.
    """
    value = ask()
    yield value, ""
    while not is_over(value):
        time.sleep(SECONDS if seconds is None else seconds)
        try:
            value, away = ask(), ""
        except (Unreachable, Unavailable) as error:
            away = one_line(str(error))
        yield value, away


def changes(ask: Callable[[], T], is_over: Callable[[T], bool] = _never) -> Iterator[T]:
    """What is answered, whenever it is something else than before."""
    before: T | None = None
    for value, _ in answers(ask, is_over):
        if value != before:
            yield value
        before = value


def live(
    ask: Callable[[], T],
    draw: Callable[[T, int], "RenderableType"],
    is_over: Callable[[T], bool] = _never,
) -> T:
    """Show what is answered, drawn within a width, until it is over; the last answer."""
    out = output.console()
    if not out.is_terminal:
        for value in changes(ask, is_over):
            out.print(draw(value, out.width))
        return value
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    with Live(console=out, auto_refresh=False) as screen:
        for value, away in answers(ask, is_over):
            at = f"{datetime.now(UTC):%H:%M:%S} UTC, every {SECONDS:g} s until Ctrl-C"
            head = Text(f"{away}; still trying", style="yellow") if away else Text(at, style=FAINT)
            screen.update(Group(head, draw(value, out.width)), refresh=True)
    return value
