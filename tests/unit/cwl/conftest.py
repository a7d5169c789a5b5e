"""Fixtures of the tests of CWL."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from diracx_tasks.cwl import javascript
from diracx_tasks.cwl.javascript import V8Engine
from diracx_tasks.workflows import isolate as isolates
from diracx_tasks.workflows.isolate import Isolate

settings.register_profile("cwl", deadline=None, max_examples=150)
settings.load_profile("cwl")


@pytest.fixture(autouse=True, scope="session")
def engine() -> V8Engine:
    """V8 as this process's JavaScript engine."""
    return javascript.install()


@pytest.fixture(scope="module")
def isolate() -> Iterator[Isolate]:
    """An isolate shared by a module: whatever one test does to it, the next one is answered."""
    one = Isolate()
    yield one
    one.stop()
    isolates.close()
