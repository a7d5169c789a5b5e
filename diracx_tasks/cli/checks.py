"""What `diracx admin check` looks at, each with words that say what to do."""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from kombu.connection import Connection
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from diracx_tasks.auth.keys import key_set, signing_key
from diracx_tasks.core import config, schema
from diracx_tasks.core.database import database_time, now, reading
from diracx_tasks.core.errors import DiracXError, SettingsError
from diracx_tasks.core.plugins import load_tasks
from diracx_tasks.core.redis import redis
from diracx_tasks.core.settings import settings
from diracx_tasks.engine.declared import REGISTRY
from diracx_tasks.engine.overrides import SECTION
from diracx_tasks.notices import mail
from diracx_tasks.sandboxes.s3 import S3Store
from diracx_tasks.sandboxes.store import FolderStore, store
from diracx_tasks.workflows import isolate

# Tokens and presigned addresses stop to work beyond some minutes; schedules get odd long before.
MOST_SKEW = 5.0
OLDEST_REDIS = (6, 2)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    words: str


def all_checks() -> Iterator[Finding]:
    """Everything, one after the other; a check that cannot be made is a finding too."""
    try:
        settings()
        load_tasks()
    except ValidationError as error:
        for one in error.errors():
            name = "DIRACX_" + "_".join(str(part) for part in one["loc"]).upper()
            yield Finding("settings", False, f"{name}: {one['msg']}")
        return
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("database", _database),
        ("migrations", _migrations),
        ("clock", _clock),
        ("redis", _redis),
        ("redis memory", _eviction),
        ("broker", _broker),
        ("configuration", _configuration),
        ("sandbox store", _store),
        ("keys", _keys),
        ("DiracX-Web", _web_root),
        ("isolate", _isolate),
        ("url", _url),
        ("login page", _login_page),
        ("mail", mail.look),
    )
    for name, look in checks:
        try:
            yield Finding(name, True, look())
        except (SQLAlchemyError, RedisError, DiracXError, OSError, ValueError) as error:
            yield Finding(name, False, str(error).split("\n")[0])


def _database() -> str:
    shown = urlsplit(settings().database)
    with reading() as db:
        database_time(db)
    return f"{shown.scheme.split('+')[0]} at {shown.hostname or shown.path[1:]} answers"


def _migrations() -> str:
    current, head = schema.current(), schema.head()
    if current != head:
        raise SettingsError(
            f"the database is at version {current}, {head} is needed: run `diracx admin migrate`"
        )
    return f"version {head}"


def _clock() -> str:
    with reading() as db:
        skew = (database_time(db) - now()).total_seconds()
    if abs(skew) > MOST_SKEW:
        raise SettingsError(
            f"the database's clock is {skew:+.1f} s from this machine's: run an NTP client on both"
        )
    return f"the database is {abs(skew):.3f} s from this machine"


def _redis() -> str:
    version = str(redis().info("server")["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        raise SettingsError(f"Redis is {version}: 6.2 or later is needed")
    return f"version {version}"


def _eviction() -> str:
    policy = redis().config_get("maxmemory-policy").get("maxmemory-policy", "unknown")
    if policy != "noeviction":
        raise SettingsError(
            f"maxmemory-policy is {policy}: set it to noeviction, or Redis throws queues away"
        )
    return "noeviction"


def _broker() -> str:
    with Connection(settings().broker, connect_timeout=3) as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=3)
        except (*connection.connection_errors, OperationalError) as error:
            raise SettingsError(f"the broker does not answer: {error}; see DIRACX_BROKER_URL") from error
        return f"{connection.transport_cls} answers"


def _isolate() -> str:
    try:
        held = isolate.strength()
    finally:
        isolate.close()
    if not held["calls"]:
        words = (
            "expressions of users are not kept from system calls: allow seccomp filters, or another machine"
        )
        raise SettingsError(words)
    missing = [name for name, holds in held.items() if not holds]
    return (
        f"expressions are shut in, but not by {', '.join(missing)}" if missing else "expressions are shut in"
    )


def _configuration() -> str:
    version = config.version()
    if config.problem():
        raise SettingsError(f"the newest is not in force: {config.problem()}")
    found = config.config()
    # What the defaults name is every VO's: it is said once.
    for vo in sorted(found.Operations, key=lambda one: (one != config.DEFAULTS, one)):
        if unknown := sorted(set(found.section(SECTION, vo)) - REGISTRY.keys()):
            words = f"Operations.{vo}.{SECTION} names tasks that do not exist: {', '.join(unknown)}"
            raise SettingsError(words)
    if not version:
        return "none; set DIRACX_CONFIG_BACKEND_URL in production"
    return f"version {version[:12]}; VOs: {', '.join(sorted(found.Registry)) or 'none'}"


def _store() -> str:
    found = store()
    if isinstance(found, S3Store):
        try:
            found.client.head_bucket(Bucket=found.bucket)
        except (ClientError, BotoCoreError) as error:
            words = f"the bucket {found.bucket!r} at {settings().s3_endpoint} cannot be used: {error}"
            raise SettingsError(f"{words}; see DIRACX_S3_*") from error
        return f"bucket {found.bucket} at {settings().s3_endpoint}"
    assert isinstance(found, FolderStore)
    found.folder.mkdir(parents=True, exist_ok=True)
    return f"folder {found.folder}; set DIRACX_S3_ENDPOINT in production"


def _keys() -> str:
    signing_key()
    file = settings().keys_file
    if not settings().token_keys.startswith("{") and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsError(f"{file} can be read by others: chmod 600")
    return f"{len(key_set().keys)} keys, one signs"


def _url() -> str:
    url = urlsplit(settings().url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise SettingsError(
            f"DIRACX_URL {settings().url!r} is not an address such as https://diracx.example.org"
        )
    if url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1"):
        raise SettingsError(f"DIRACX_URL {settings().url} is not https: tokens would travel in the clear")
    return f"{settings().url} (checked at {datetime.now(UTC):%H:%M:%S} UTC)"


def _login_page() -> str:
    host = urlsplit(settings().url).hostname
    if not settings().login_page:
        return "off"
    if host not in ("localhost", "127.0.0.1"):
        raise SettingsError(
            f"DIRACX_LOGIN_PAGE is on at {settings().url}: one password lets in whoever he says he is; "
            "state an IdP for each VO and switch it off"
        )
    return "on: for one machine only; switch DIRACX_LOGIN_PAGE off in production"


def _web_root() -> str:
    folder = settings().web_root
    if not folder:
        return "none: / leads to /ui"
    if not (Path(folder) / "index.html").is_file():
        raise SettingsError(
            f"DIRACX_WEB_ROOT {folder} has no index.html: it is to be the folder `out` of DiracX-Web's build"
        )
    return f"served at / from {folder}"
