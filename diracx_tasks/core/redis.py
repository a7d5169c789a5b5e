"""Redis connections and the Lua scripts that run in it."""

import os
import threading
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.commands.core import Script
from redis.exceptions import NoScriptError
from redis.retry import Retry

from diracx_tasks.core.settings import settings

Connection = Redis

_OWN = threading.local()


def redis() -> Redis:
    """This process's connection pool; answers are texts."""
    return _redis(settings().redis_url, os.getpid())


@lru_cache(64)
def script(package: str, *names: str) -> Script:
    """`.lua` files of a package, one after the other, as one script.

    It is loaded into Redis when it is first run, and again after a flush.
    """
    return redis().register_script("\n".join((files(package) / f"{name}.lua").read_text() for name in names))


def call(found: Script, keys: Sequence[str], arguments: Sequence[str | float]) -> Any:
    """Run a script at once, on a connection that is this thread's own.

    A connection of the pool and redis-py's own way take a third more time, which counts where scripts are run
    some thousand times a second.
    """
    client = _own()
    try:
        return client.evalsha(str(found.sha), len(keys), *keys, *arguments)
    except NoScriptError:
        client.script_load(found.script)
        return client.evalsha(str(found.sha), len(keys), *keys, *arguments)


def _own() -> Redis:
    shared: Any = redis()
    if getattr(_OWN, "shared", None) is not shared:
        _OWN.shared, _OWN.client = shared, shared.client()
    client: Redis = _OWN.client
    return client


@lru_cache(4)
def _redis(url: str, pid: int) -> Redis:
    # Callers fall back on the database: better a quick error than a long wait.
    retry = Retry(ExponentialBackoff(cap=0.2, base=0.02), 2)
    options: dict[str, Any] = {"socket_timeout": 5, "socket_connect_timeout": 1, "retry": retry}
    return Redis.from_url(url, decode_responses=True, **options)
