"""One system on real servers for all crash tests, and the undisturbed run that they are compared with."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash import workload
from tests.servers import MariaDB, Redis
from tests.system import System


@dataclass
class Place:
    """A system with the servers that it stands on."""

    system: System
    mariadb: MariaDB
    redis: Redis
    folder: Path
    undisturbed: dict[str, Any]

    def run(self, name: str) -> tuple[int, Path]:
        """Submit the workload; answers the workflow and its ledger."""
        ledger = self.folder / f"{name}.ledger"
        return self.system.submit(workload.FILES, workload.inputs(ledger)), ledger


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """MariaDB and Redis of its own, because tests kill them; the result of a run in peace."""
    folder = tmp_path_factory.mktemp("crash")
    with MariaDB(folder / "mariadb") as mariadb, Redis(folder / "redis") as redis:
        environment = {"DIRACX_DATABASE_URL": mariadb.url, "DIRACX_REDIS_URL": redis.url}
        with System(folder / "data", environment) as system:
            found = Place(system, mariadb, redis, folder, {})
            workflow_id, ledger = found.run("undisturbed")
            ended = system.wait(workflow_id)
            assert ended["status"] == "Done", (ended["reason"], ended["steps"])
            assert sum(workload.runs(ledger).values()) == workload.JOBS
            found.undisturbed = workload.plain(ended["outputs"])
            yield found
