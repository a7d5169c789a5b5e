"""Running a task in the process of whoever asks, for the command line and for tests."""

from collections.abc import Callable
from typing import Any

from diracx_tasks.core.origin import Origin, originating
from diracx_tasks.engine import history
from diracx_tasks.engine.declared import Declared
from diracx_tasks.engine.execute import Again
from diracx_tasks.engine.locks import admission
from diracx_tasks.engine.overrides import effective
from diracx_tasks.engine.run import Later, Run, running, traceback_of


def by_hand(
    declared: Declared, arguments: dict[str, Any], *, by: str, call: Callable[..., Any] | None = None
) -> str:
    """Run a task in this process: its locks are kept, its limits are not, nothing is tried again.

    `call` may run the function in another way, e.g. in a debugger. Raises Again when a lock is held.
    """
    checked = declared.check(arguments)
    run = Run(effective(declared, arguments.get("vo")), f"{declared.name}.by-hand", arguments)
    run.origin = Origin(by)
    with admission(run.task.wants(checked, by_hand=True)) as given:
        if given.refused:
            raise Again(f"{given.refused.key} is held by another run: see `diracx tasks locks`", None, 0)
        run.admission = given
        with running(run), originating(Origin(by, run.key)):
            try:
                outcome = str((call or _plain)(declared.function, checked))
            except Later:
                raise
            except Exception as error:
                history.note(run.row(history.DEAD, traceback_of(error)), is_small=False)
                raise
    history.note(run.row(history.DONE, outcome), is_small=False)
    return outcome


def _plain(function: Callable[..., str], arguments: dict[str, Any]) -> str:
    return function(**arguments)
