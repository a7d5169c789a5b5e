"""Fixtures of the tests with the engine: processes that run workflows."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from tests.cwl import pool
from tests.cwl.engine import Ended
from tests.servers import Redis

Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def one_process(
    tmp_path_factory: pytest.TempPathFactory, redis_server: Redis
) -> Iterator[ProcessPoolExecutor]:
    """A process with an engine; apart, because an engine sets this process's data folder."""
    work = tmp_path_factory.mktemp("engine")
    with ProcessPoolExecutor(1, get_context("spawn"), pool.start, (work, redis_server.url)) as executor:
        yield executor


@pytest.fixture
def run(one_process: ProcessPoolExecutor, tmp_path: Path) -> Run:
    """Runs `main.cwl` of some files (`__` in a name is its dot) with inputs to the end."""

    def to_the_end(inputs: dict[str, Any] | None = None, **files: str) -> Ended:
        for name, text in files.items():
            path = tmp_path / name.replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        job = tmp_path / "job.json"
        job.write_text(json.dumps(inputs or {}))
        return one_process.submit(
            pool.run, str(tmp_path / "main.cwl"), str(job), tmp_path / "outputs"
        ).result(120)

    return to_the_end
