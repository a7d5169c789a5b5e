"""An installation in a temporary folder with a real Redis, and builders of what is in it."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from kombu import pools
from sqlalchemy.orm import Session

from diracx_tasks.app import app as celery
from diracx_tasks.auth import keys
from diracx_tasks.auth.rights import ADMIN, USER
from diracx_tasks.auth.tokens import PILOT, User, issue
from diracx_tasks.core import config, database
from diracx_tasks.core import redis as redis_module
from diracx_tasks.core.schema import migrate
from diracx_tasks.core.settings import settings
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.engine import history, overrides
from diracx_tasks.jobs import claims
from diracx_tasks.jobs import status as door
from diracx_tasks.jobs.optimize import WAITING
from diracx_tasks.jobs.states import FINAL, Status
from diracx_tasks.jobs.status import Change
from diracx_tasks.jobs.submit import NewJob, create
from diracx_tasks.matching import queue
from diracx_tasks.sandboxes import store as store_module
from diracx_tasks.workflows import submit
from diracx_tasks.workflows.tables import Workflow
from tests import small_pilot
from tests.servers import Redis

VO = "lhcb"
ANYWHERE = {
    "cores": 1,
    "ram_mb": 256,
    "sites": [],
    "banned_sites": [],
    "platform": None,
    "tags": [],
    "priority": 5,
}
TOOL = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
inputs:
  words: {type: string, inputBinding: {}}
outputs: []
"""
HEX = hashlib.sha256(b"hey").hexdigest()


@dataclass(frozen=True)
class Installation:
    """Where a test's server keeps its things."""

    folder: Path
    redis: Redis


@contextmanager
def environment(**stated: str) -> Iterator[None]:
    """These DIRACX_ variables and no others; what was cached of the settings is forgotten.

    The template's pilot file is used where it is: to make the real one takes half a minute.
    """
    small = Path(stated.get("DIRACX_DATA", os.devnull)) / "pilot.pyz"
    if small.exists():
        stated = {"DIRACX_PILOT_FILE": str(small), **stated}
    before = {name: value for name, value in os.environ.items() if name.startswith("DIRACX_")}
    _state(stated)
    try:
        yield
    finally:
        _state(before)


def _state(variables: dict[str, str]) -> None:
    history.flush()
    # Each test may have its full share of history within the second.
    history._BUFFER.kept = 0
    database.engine().dispose()
    redis_module.redis().close()
    for name in [name for name in os.environ if name.startswith("DIRACX_")]:
        del os.environ[name]
    os.environ.update(variables)
    cached = (settings, keys.key_set, store_module.store, database._engine, redis_module._redis)
    configured = (config._source, overrides._override, overrides._effective)
    for function in (*cached, *configured, redis_module.script):
        function.cache_clear()
    use_broker(settings().broker)
    celery.set_default()


def use_broker(url: str) -> None:
    """Have Celery publish there, on new connections."""
    pools.reset()
    celery._pool = celery.amqp._producer_pool = None
    celery.conf["broker_url"] = url


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty migrated database and keys, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    with environment(DIRACX_DATA=str(folder)):
        keys.create(settings().keys_file)
        migrate()
    small_pilot.write(folder / "pilot.pyz")
    return folder


@pytest.fixture
def installation(template: Path, tmp_path: Path, redis_server: Redis) -> Iterator[Installation]:
    """A fresh installation: SQLite in a folder, and an empty Redis."""
    folder = tmp_path / "data"
    shutil.copytree(template, folder)
    redis_server.flush()
    stated = {
        "DIRACX_DATA": str(folder),
        "DIRACX_REDIS_URL": redis_server.url,
        "DIRACX_URL": "http://testserver",
    }
    with environment(**stated):
        yield Installation(folder, redis_server)


@pytest.fixture
def db(installation: Installation) -> Iterator[Session]:
    """A session on the installation's database, not committed."""
    with Session(database.engine(), expire_on_commit=False) as found:
        yield found


def a_user(
    name: str = "alice", *, vo: str = VO, group: str = "user", properties: tuple[str, ...] = (USER,)
) -> User:
    """A person."""
    return User(name, group, vo, f"subject-of-{name}", frozenset(properties))


def an_administrator(name: str = "admin", *, vo: str = VO) -> User:
    """An administrator of a VO."""
    return a_user(name, vo=vo, group="admins", properties=(ADMIN,))


def a_pilot(stamp: str = "stamp-1", *, vo: str = VO) -> User:
    """A pilot."""
    return User("pilot", "pilot", vo, f"pilot-{stamp}", frozenset({PILOT}), stamp)


def bearer(user: User) -> dict[str, str]:
    """The header that says who asks."""
    return {"Authorization": f"Bearer {issue(user, seconds=600)}"}


def a_new_job(**stated: Any) -> NewJob:
    """A job to be."""
    payload = {"kind": "cwl", "bundle": HEX, "entrypoint": "workflow.cwl", "path": "", "inputs": {}}
    job = NewJob("job", VO, "alice", "user", payload, ANYWHERE)
    requirements = {**ANYWHERE, **stated.pop("requirements", {})}
    return replace(job, requirements=requirements, **stated)


def a_job(db: Session, status: Status = Status.WAITING, *, pilot: str = "stamp-1", **stated: Any) -> int:
    """A job that has gone the usual way to a status; not committed."""
    new = a_new_job(**stated)
    (job_id,) = create(db, [new])
    if status is Status.RECEIVED:
        return job_id
    door.move_many(db, [job_id], WAITING, frm=(Status.RECEIVED,))
    who = (new.vo, new.job_type, new.group, new.owner)
    queue.add(db, [queue.Entry(job_id, *who, new.requirements["priority"], new.requirements)])
    if status is Status.WAITING:
        return job_id
    if status is not Status.KILLED:
        claim(db, job_id, pilot=pilot, vo=new.vo)
    queue.remove(db, [job_id])
    for following in _way_to(status):
        outputs = {"answer": 42} if following is Status.DONE else None
        change = Change(following, "as built", "", "Builder", outputs)
        assert door.move(db, job_id, change, attempt=1) is door.Outcome.APPLIED
    return job_id


def claim(db: Session, job_id: int, *, pilot: str = "stamp-1", vo: str = VO) -> int | None:
    """Give a job to a pilot if it waits: the attempt's number."""
    work = claims.hold_waiting(db, vo, [job_id]).get(job_id)
    if work is None:
        return None
    claims.give(db, {claims.Claim(job_id, pilot, "LCG.CERN.ch", "ce", "node"): work})
    return work.attempt


def _way_to(status: Status) -> list[Status]:
    if status in (Status.MATCHED, Status.RUNNING, Status.KILLED):
        return [] if status is Status.MATCHED else [status]
    if status is Status.STALLED or status in FINAL or status is Status.COMPLETING:
        return [Status.RUNNING, status]
    raise ValueError(f"no usual way leads to {status}")


def a_workflow(db: Session, *, by: User | None = None, text: str = TOOL, **inputs: Any) -> Workflow:
    """A submitted workflow of one tool; not committed."""
    bundle, who = Bundle.of({"workflow.cwl": text.encode()}, "workflow.cwl"), by or a_user()
    given = inputs or {"words": secrets.token_hex(4)}
    request = submit.Request(bundle, given)
    return submit.submit(db, request, submit.check(bundle, given, by=who), by=who)
