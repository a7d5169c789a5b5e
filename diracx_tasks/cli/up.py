"""`diracx up`: the whole system on this machine, in the foreground, until Ctrl-C."""

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import click

from diracx_tasks.core.paths import data_folder, packaged

STOP_ORDER = ("pilots", "beat", "worker", "flower", "api", "redis")
START_SECONDS = 90
TOKEN_PERIOD = 43200


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Folder for everything that is kept."
)
@click.option("--port", type=int, help="Port of the API.  [default: 8000, or a free one]")
@click.option("--slots", type=click.IntRange(min=0), help="Jobs at a time, if any.  [default: one per core]")
@click.option("--workers", type=int, help="Celery processes.  [default: one per core, at least 2]")
@click.option("--no-flower", is_flag=True, help="Leave Flower out.")
def up(data: Path | None, port: int | None, slots: int | None, workers: int | None, no_flower: bool) -> None:
    """Run the API, Celery workers, beat, Flower and pilots on this machine."""
    from diracx_tasks.cli.embedded import Home, cores

    os.environ["DIRACX_DATA"] = str((data or data_folder()).expanduser().resolve())
    home = Home(Path(os.environ["DIRACX_DATA"]))
    home.take()
    at_once = cores() if slots is None else slots
    System(home, port).run(at_once, workers or max(2, cores()), with_flower=not no_flower)


class System:
    """The processes of one embedded installation."""

    def __init__(self, home: "Home", port: int | None) -> None:  # type: ignore[name-defined] # noqa: F821
        from diracx_tasks.cli.supervisor import Supervisor

        self.home = home
        self.port = port
        self.supervisor = Supervisor(sys.stdout)
        self.stopping = threading.Event()

    def run(self, slots: int, workers: int, *, with_flower: bool) -> None:
        """Start, keep running, and stop in order at INT or TERM."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stopping.set())
        try:
            self._redis()
            self._logins()
            self._database()
            self._servers(workers, with_flower=with_flower)
            if self._wait_until_ready():
                if slots:
                    self._pilots(slots)
                self._keep_running()
        finally:
            self.supervisor.say("up", "stopping; what runs is given back and goes on at the next start")
            self.supervisor.stop(STOP_ORDER)
            self.supervisor.say("up", "stopped")

    def _redis(self) -> None:
        from diracx_tasks.cli.embedded import choose_redis, wait_for_redis
        from diracx_tasks.cli.supervisor import Child

        if "DIRACX_REDIS_URL" not in os.environ:
            command, os.environ["DIRACX_REDIS_URL"] = choose_redis(self.home)
            self.supervisor.start(Child("redis", command))
            wait_for_redis(os.environ["DIRACX_REDIS_URL"])

    def _logins(self) -> None:
        """Whoever is in the configuration can log in: by a page of our own, unless his VO has a provider."""
        vo = os.environ.get("DIRACX_VO", "local")
        if not os.environ.get("DIRACX_CONFIG_BACKEND_URL"):
            os.environ["DIRACX_CONFIG_BACKEND_URL"] = str(self.home.configuration(vo))
        if "DIRACX_URL" not in os.environ:
            os.environ.setdefault("DIRACX_LOGIN_PAGE", "true")
        self.home.secret("login")

    def _database(self) -> None:
        from diracx_tasks.cli.embedded import API_PORT
        from diracx_tasks.core import schema

        port = self.port or self.home.port("api", API_PORT)
        os.environ.setdefault("DIRACX_URL", f"http://127.0.0.1:{port}")
        self.port = port
        from diracx_tasks.auth.keys import create
        from diracx_tasks.core.settings import settings

        if not settings().token_keys:
            create(settings().keys_file)
        self.supervisor.say("up", f"database at version {schema.migrate()}, data in {self.home.folder}")

    def _servers(self, workers: int, *, with_flower: bool) -> None:
        from diracx_tasks.cli.embedded import FLOWER_PORT
        from diracx_tasks.cli.supervisor import Child, python
        from diracx_tasks.engine.queues import QUEUES

        if with_flower:
            port, password = self.home.port("flower", FLOWER_PORT), self.home.secret("flower")
            os.environ["DIRACX_FLOWER_URL"] = f"http://admin:{password}@127.0.0.1:{port}"
            config = packaged("flower", "deploy/flower") / "flowerconfig.py"
            options = (f"--conf={config}", f"--port={port}", "--address=127.0.0.1", "--logging=error")
            secret = {"FLOWER_BASIC_AUTH": f"admin:{password}", "FLOWER_DIRACX_UI": os.environ["DIRACX_URL"]}
            self.supervisor.start(Child("flower", _celery("flower", *options), secret))
        api = (
            "--factory",
            "diracx_api.app:create_app",
            "--host=127.0.0.1",
            f"--port={self.port}",
            "--no-access-log",
        )
        self.supervisor.start(Child("api", python("uvicorn", *api)))
        queues = ("-Q", ",".join(QUEUES), "-c", str(workers), "-n", "local@%h")
        quiet = ("-E", "--loglevel=warning", "--without-gossip", "--without-mingle")
        # Celery's own TERM waits without bound for running tasks.
        soft = {"REMAP_SIGTERM": "SIGQUIT"}
        self.supervisor.start(Child("worker", _celery("worker", *queues, *quiet), soft, patience=25))
        self.supervisor.start(Child("beat", _celery("beat", "--loglevel=warning", "--pidfile=")))

    def _wait_until_ready(self) -> bool:
        import urllib3

        until = time.monotonic() + START_SECONDS
        url = f"{os.environ['DIRACX_URL']}/api/workflows?limit=1"
        headers = {"Authorization": f"Bearer {self.home.token()}"}
        while not self.stopping.is_set():
            self.supervisor.watch()
            try:
                status = urllib3.request("GET", url, headers=headers, retries=False, timeout=2).status
                if status == 401:
                    raise click.ClickException(f"another server answers at {url}: choose a port with --port")
                if status == 200:
                    self.home.write_environment()
                    self.home.write_client(os.environ["DIRACX_URL"])
                    return True
            except urllib3.exceptions.HTTPError:
                pass
            if time.monotonic() > until:
                raise click.ClickException(f"the API did not start within {START_SECONDS} s")
            time.sleep(0.1)
        return False

    def _pilots(self, slots: int) -> None:
        import psutil

        from diracx_tasks.cli.supervisor import Child, python

        ram_mb = int(psutil.virtual_memory().total / 1e6 / slots)
        folder = self.home.folder / "work"
        folder.mkdir(exist_ok=True)
        command = python(
            "diracx_tasks.pilots.local", str(slots), str(ram_mb), "DIRAC.Local.here", str(folder)
        )
        self.supervisor.start(Child("pilots", command, patience=40))

    def _keep_running(self) -> None:
        from diracx_tasks.auth.keys import signing_key

        url, flower = os.environ["DIRACX_URL"], os.environ.get("DIRACX_FLOWER_URL")
        for words in self._addresses(url, flower):
            self.supervisor.say("up", words)
        self.supervisor.say("up", "ready; submit with `diracx workflows submit`, stop with Ctrl-C")
        renewed, key = time.monotonic(), signing_key().kid
        while not self.stopping.wait(0.5):
            self.supervisor.watch()
            # The local user's token must not end with the keys before a rotation.
            if time.monotonic() > renewed + TOKEN_PERIOD or signing_key().kid != key:
                self.home.write_client(url)
                renewed, key = time.monotonic(), signing_key().kid

    def _addresses(self, url: str, flower: str | None) -> Iterator[str]:
        """Where everything is, and how one gets in."""
        from diracx_tasks.core.config import vos
        from diracx_tasks.core.paths import DATA, usual_data_folder
        from diracx_tasks.core.settings import settings

        has_page = settings().login_page
        yield f"pages: {url}/ui" + (f", password: {self.home.secret('login')}" if has_page else "")
        yield f"API documentation: {url}/api/docs"
        if flower:
            yield f"Flower: {flower}"
        for vo in vos():
            yield f"official clients log in: DIRACX_URL={url} dirac login {vo}"
        if self.home.folder != usual_data_folder().resolve():
            yield f"in other terminals: export {DATA}={shlex.quote(str(self.home.folder))}"


def _celery(command: str, *options: str) -> list[str]:
    from diracx_tasks.cli.supervisor import python

    return python("celery", "--quiet", "-A", "diracx_tasks", command, *options)
