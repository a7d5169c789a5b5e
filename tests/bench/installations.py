"""What is measured: MariaDB as an installation runs it, one configuration, and our API with one worker."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine

from diracx_tasks.auth import keys
from diracx_tasks.auth.rights import ADMIN, USER
from diracx_tasks.auth.tokens import User, issue
from diracx_tasks.core.schema import migrate
from diracx_tasks.core.settings import settings
from tests.bench.load import Target
from tests.bench.population import GROUP, OWNER, VO, populate
from tests.builders import environment
from tests.servers import MariaDB, Redis, Server

ROOT = Path(__file__).parents[2]
SUBJECT = "subject-of-alice"
TOKEN_SECONDS = 6 * 3600
CONFIGURATION = f"""\
DIRAC: {{}}
Registry:
  {VO}:
    IdP: {{URL: 'https://idp.invalid', ClientID: bench}}
    DefaultGroup: {GROUP}
    Users:
      {SUBJECT}: {{PreferedUsername: {OWNER}}}
    Groups:
      {GROUP}: {{Properties: [{USER}, {ADMIN}], Users: [{SUBJECT}]}}
Operations:
  Defaults: """


class Database(MariaDB):
    """The tests' durable MariaDB with the memory that an installation gives it."""

    def command(self) -> list[str]:
        """Start it with a pool of 2 GB; every commit is on the disk."""
        stated = {"innodb-buffer-pool-size": "2G", "innodb-log-file-size": "512M"}
        stated |= {"innodb-flush-log-at-trx-commit": "1", "max-connections": "300"}
        return [*super().command(), *(f"--{name}={value}" for name, value in stated.items())]


class Api(Server):
    """An API with one worker: what runs it, and for whom."""

    programs = ()
    factory: str
    title: str

    def __init__(self, folder: Path, python: Path, stated: dict[str, str]) -> None:
        super().__init__(folder)
        self._python = python
        self._stated = stated
        self.token = _token(folder, self.url)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def target(self) -> Target:
        """Its address, and a token of a user who also is the VO's administrator of jobs."""
        return Target(self.url, self.token)

    def environment(self) -> dict[str, str]:
        """Nothing of this process's settings."""
        return super().environment() | self._stated

    def command(self) -> list[str]:
        """One uvicorn worker without an access log."""
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        return [str(self._python), "-m", "uvicorn", "--factory", self.factory, "--no-access-log", *where]

    def is_ready(self) -> bool:
        """Whether it has its configuration and its database."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/health/startup", timeout=10) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


class Ours(Api):
    """Our API."""

    factory = "diracx_api.app:create_app"
    title = "ours"


@contextmanager
def ours(folder: Path, mariadb: Database, redis: Redis, jobs: int) -> Iterator[Ours]:
    """Our API, running, with so many jobs in its database."""
    stated = {
        "DIRACX_DATABASE_URL": mariadb.url,
        "DIRACX_REDIS_URL": redis.url,
        "DIRACX_DATA": str(folder),
        "DIRACX_CONFIG_BACKEND_URL": configuration(folder),
        "PYTHONPATH": str(ROOT),
    }
    made = Ours(folder, Path(sys.executable), stated)
    stated["DIRACX_URL"] = made.url
    with environment(**stated):
        migrate()
    fill(mariadb, jobs)
    with made:
        yield made


def fill(mariadb: Database, jobs: int, *, prefix: str = "") -> None:
    """Put so many jobs into the databases with this prefix."""
    engine, began = create_engine(mariadb.url), time.perf_counter()
    try:
        populate(engine, jobs, prefix=prefix)
    finally:
        engine.dispose()
    print(f"{jobs:,} jobs in {prefix}JobDB in {time.perf_counter() - began:.0f} s", flush=True)


def configuration(folder: Path, operations: str = "{}") -> str:
    """The address of a git repository with one VO and one user; `operations` hold for all VOs."""
    repository = folder / "configuration"
    repository.mkdir(parents=True)
    (repository / "default.yml").write_text(f"{CONFIGURATION}{operations}\n")
    who = ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "init.defaultBranch=master"]
    for command in (["init", "-q"], ["add", "default.yml"], ["commit", "-q", "-m", "Bench"]):
        subprocess.run(["git", *who, *command], cwd=repository, check=True, timeout=60)
    return f"git+file://{repository}"


def _token(folder: Path, issuer: str) -> str:
    """A token for keys that are made in a folder."""
    with environment(DIRACX_DATA=str(folder), DIRACX_URL=issuer):
        keys.create(settings().keys_file)
        user = User(OWNER, GROUP, VO, SUBJECT, frozenset({USER, ADMIN}))
        return issue(user, seconds=TOKEN_SECONDS)
