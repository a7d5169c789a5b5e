"""Pytest's fixtures: each server is started once, by the first test that asks for it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import Condor, MariaDB, RabbitMQ, Redis, Rgw, Slurm, Sshd


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    """A running MariaDB."""
    with MariaDB(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A running Redis."""
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def rgw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rgw]:
    """A running S3."""
    with Rgw(tmp_path_factory.mktemp("rgw")) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A running RabbitMQ."""
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture(scope="session")
def slurm(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A running Slurm with accounting."""
    with Slurm(tmp_path_factory.mktemp("slurm"), mariadb) as server:
        yield server


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A running sshd."""
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="session")
def condor() -> Iterator[Condor]:
    """A running HTCondor, in a folder that its user can reach: pytest's are for us only."""
    folder = Path(tempfile.mkdtemp(prefix="diracx-condor-"))
    try:
        with Condor(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder)
