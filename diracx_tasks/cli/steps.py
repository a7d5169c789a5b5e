"""The steps of a workflow as a table: how far each is, and in which state."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from diracx_tasks.cli import output
from diracx_tasks.cli.complaints import one_line
from diracx_tasks.cli.tables import Column, Row, fitted
from diracx_tasks.core.words import progress

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress_bar import ProgressBar
    from rich.text import Text

BAR = 30


def steps_table(steps: Iterable[Row], width: int) -> "RenderableType":
    """A line for each step: progress, counts, state."""
    return fitted(steps, STEPS, width).drawn


def place(step: Row) -> str:
    """Where a step is in its workflow; the tool's name where there are no steps."""
    # A workflow that is one tool has one step, without a path.
    return str(step["path"] or step.get("name") or "the tool")


def done_of(counts: dict[str, int]) -> int:
    """How many instances of a step need nothing more."""
    return counts.get("Done", 0) + counts.get("Skipped", 0)


def jobs_done(jobs: Row) -> str:
    """How many jobs of a workflow in a list are done; nothing while there are none."""
    done = jobs["done"] + jobs["skipped"]
    return progress(done, jobs["total"], jobs["reused"]) if jobs["total"] else ""


def words_of(step: Row) -> str:
    """How far a step is."""
    return progress(done_of(step["counts"]), step["total"], step["reused"])


def _name(step: Row) -> "Text":
    """A step's name below that of the step that it is in."""
    from rich.text import Text

    return Text("  " * step["path"].count("/") + one_line(place(step).rpartition("/")[2]))


def _bar(step: Row) -> "ProgressBar":
    from rich.progress_bar import ProgressBar

    return ProgressBar(
        max(step["total"], 1),
        done_of(step["counts"]),
        width=BAR,
        complete_style="bright_blue",
        finished_style="green",
    )


def _failed(counts: dict[str, int]) -> int:
    return counts.get("Failed", 0) + counts.get("Killed", 0)


STEPS = (
    Column("Step", _name, is_cut=True),
    Column("Status", lambda step: output.state(step["state"])),
    Column("", _bar, goes=1),
    Column("Done", words_of, is_number=True),
    Column("Running", lambda step: step["counts"].get("Running") or "", is_number=True, goes=3),
    Column("Waiting", lambda step: step["counts"].get("Waiting") or "", is_number=True, goes=2),
    Column("Failed", lambda step: _failed(step["counts"]) or "", is_number=True),
)
