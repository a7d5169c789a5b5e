"""How far something is, on stderr and only at a terminal: bytes that go or come, and waiting."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from diracx_tasks.cli.complaints import one_line
from diracx_tasks.core.form import Told

Now = Callable[[str, int, int | None], None]


@contextmanager
def transfer(words: str, total: int | None) -> Iterator[Told]:
    """A bar of bytes with speed and time left while the block lasts; it is told how many more have gone."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(bar_width=30), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with _progress(TextColumn("{task.description}", markup=False), *columns) as made:
        task = made.add_task(one_line(words), total=total)
        yield lambda count: made.advance(task, count)


@contextmanager
def waiting(words: str) -> Iterator[Now]:
    """A line that says what is waited for, for how long, and with a bar when it is told how much is done."""
    if not sys.stderr.isatty():
        yield lambda words, done, total: None
        return
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=30))
    with _progress(*columns, TimeElapsedColumn()) as made:
        task = made.add_task(one_line(words), total=None)

        def now(words: str, done: int, total: int | None) -> None:
            made.update(task, description=one_line(words), completed=done, total=total)

        yield now


def _progress(*columns: Any) -> Any:
    from rich.progress import Progress

    from diracx_tasks.cli.output import console

    return Progress(*columns, console=console(stderr=True), transient=True)
