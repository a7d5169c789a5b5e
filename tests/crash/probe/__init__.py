"""Tasks for tests to run in real workers; each writes down what it did."""

from collections.abc import Iterator
from contextlib import contextmanager

from diracx_tasks.engine.declared import REGISTRY, Declared

_TASKS: dict[str, Declared] = {}


@contextmanager
def registered() -> Iterator[None]:
    """This process knows the tasks while the block lasts."""
    from tests.crash.probe import tasks

    names = [name for name in REGISTRY if name.startswith("probe.")]
    _TASKS.update({name: REGISTRY.pop(name) for name in names})
    REGISTRY.update(_TASKS)
    assert tasks
    yield
    for name in _TASKS:
        REGISTRY.pop(name, None)
