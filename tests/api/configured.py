"""The API with a configuration in a git repository."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.builders import Installation, environment
from tests.unit.core.configured import Repository
from tests.unit.core.documents import WHOLE


def a_repository(folder: Path, text: str = WHOLE) -> Repository:
    """A repository with a configuration of two VOs."""
    found = Repository(folder / "configuration")
    found.commit(text)
    return found


@contextmanager
def configured(installation: Installation, url: str, **more: str) -> Iterator[None]:
    """The installation with this source of its configuration."""
    stated = {
        "DIRACX_DATA": str(installation.folder),
        "DIRACX_REDIS_URL": installation.redis.url,
        "DIRACX_URL": "https://diracx.example.org",
        "DIRACX_CONFIG_BACKEND_URL": url,
    }
    with environment(**{**stated, **more}):
        yield
