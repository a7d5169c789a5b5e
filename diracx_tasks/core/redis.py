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
from redis.exceptions import ConnectionError, NoScriptError, ResponseError, TimeoutError
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

    redis-py's own way takes twice the time, which counts where scripts are run some thousand times a second;
    it is taken when something goes wrong.
    """
    client = _own()
    connection: Any = client.connection
    sha, rest = str(found.sha), (*keys, *arguments)
    try:
        connection.send_command("EVALSHA", sha, len(keys), *rest)
        return connection.read_response()
    except NoScriptError:
        pass
    except ResponseError:
        raise
    except BaseException as error:
        # An answer that nobody has read would be taken for that of the next call.
        connection.disconnect()
        if not isinstance(error, ConnectionError | TimeoutError):
            raise
    # Redis has forgotten it, or may have: it may have been started anew.
    client.script_load(found.script)
    return client.evalsha(sha, len(keys), *rest)


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
