"""The API on a fresh installation, asked as one user or another."""

from collections.abc import Iterator
from functools import lru_cache

import pytest
from fastapi import FastAPI

from diracx_api.app import create_app
from diracx_tasks.workflows import isolate
from tests.api.caller import Api, TestClient
from tests.builders import Installation, db, installation, template

__all__ = ["db", "installation", "template"]


@lru_cache(1)
def application() -> FastAPI:
    """One application for all tests: it reads its settings anew in each."""
    return create_app()


@pytest.fixture(scope="session", autouse=True)
def isolates() -> Iterator[None]:
    """Ends the evaluating processes when the tests have ended."""
    yield
    isolate.close()


@pytest.fixture
def api(installation: Installation) -> Iterator[Api]:
    """The running API."""
    with TestClient(application(), raise_server_exceptions=False) as client:
        yield Api(client)
