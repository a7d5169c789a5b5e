"""Every task: its queue, when it comes, what it does."""

from diracx_tasks.core.plugins import load_tasks
from diracx_tasks.engine.declared import REGISTRY
from docs.reference.text import code, table


def tasks() -> str:
    """A table of all tasks, those that beat starts first."""
    load_tasks()
    known = sorted(REGISTRY.values(), key=lambda one: (one.timing is None, one.name))
    rows = [
        (
            code(one.name),
            (str(one.timing) + (", for each VO" if one.per_vo else "")) if one.timing else "when asked for",
            code(one.queue),
            one.about.rstrip("."),
        )
        for one in known
    ]
    return table(("task", "when", "queue", "what it does"), rows)
