"""An installation on SQLite or MariaDB, and no evaluating process left at the end."""

from collections.abc import Iterator

import pytest

from diracx_tasks.workflows import advance, ahead, collections, isolate, look
from tests.builders import db, template

__all__ = ["db", "template"]


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten elements are many: what happens with thousands happens with dozens."""
    for module, names in (
        (look, ["CHUNK"]),
        (ahead, ["CHUNK"]),
        (collections, ["CHUNK", "LONG"]),
        (advance, ["PAGE"]),
    ):
        for name in names:
            monkeypatch.setattr(module, name, 10)


@pytest.fixture(scope="session", autouse=True)
def isolates() -> Iterator[None]:
    """Ends the evaluating processes when the tests have ended."""
    yield
    isolate.close()
