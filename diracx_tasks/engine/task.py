"""The `@task` decorator: what an operator expects around a task, stated where the task is declared."""

import logging
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from celery import Task, shared_task

from diracx_tasks.core.database import session
from diracx_tasks.engine import outbox, periodic
from diracx_tasks.engine.locks import lease
from diracx_tasks.engine.queues import Priority, Size, queue_of
from diracx_tasks.engine.retries import Backoff

log = logging.getLogger(__name__)
GRACE = 30
REST = 0.1


@dataclass(frozen=True)
class Declared:
    """What a task states of itself."""

    name: str
    function: Callable[..., str]
    size: Size
    priority: Priority
    lock: str | None
    retry: Backoff
    every: float | None
    timeout: float

    @property
    def queue(self) -> str:
        """The queue that it goes to."""
        return queue_of(self.priority, self.size)


REGISTRY: dict[str, Declared] = {}


def task(
    *,
    size: Size = "small",
    priority: Priority = "normal",
    lock: str | None = None,
    retry: Backoff | None = None,
    every: float | None = None,
    timeout: float = 60,
) -> Callable[[Callable[..., str]], Task]:
    """Declare a task: a function of keyword arguments that says in a word what it did.

    It must be harmless to run twice. `lock` is a template such as `workflow:{workflow_id}`: while one runs,
    another waits (a periodic one is left out). `every` seconds beat starts it. After `timeout` seconds it is
    stopped and tried again as `retry` says; when tries are used up it stays in the outbox as a dead letter.
    """

    def declare(function: Callable[..., str]) -> Task:
        subject = function.__module__.removesuffix(".tasks").rpartition(".")[2]
        name = f"{subject}.{function.__name__}"
        declared = Declared(name, function, size, priority, lock, retry or Backoff(), every, timeout)
        REGISTRY[name] = declared

        def run(self: Task, **arguments: Any) -> str:
            return execute(declared, self, arguments)

        run.__doc__ = function.__doc__
        return shared_task(
            name=name, bind=True, soft_time_limit=timeout, time_limit=timeout + GRACE, max_retries=None
        )(run)

    return declare


def execute(declared: Declared, message: Task, arguments: dict[str, Any]) -> str:
    """Run a task as it was declared: lock, function, outbox, retries."""
    headers = message.request.headers or {}
    key = headers.get("outbox")
    if declared.every and not key:
        return _periodic(declared, arguments)
    if key:
        with session() as db:
            seen = outbox.asked(db, key)
        if seen is None:
            return "already done"
    try:
        with _locked(declared, arguments) as got:
            if not got:
                return _later(message, arguments, headers, waits=1)
            outcome = declared.function(**arguments)
    except Exception:
        if (answer := _failed(declared, message, arguments, headers)) is None:
            raise
        return answer
    if key:
        _close(declared, key, seen or 0, arguments)
    return outcome


def _periodic(declared: Declared, arguments: dict[str, Any]) -> str:
    with _locked(declared, arguments) as got:
        if not got:
            return "still running"
        with periodic.recorded(declared.name) as record:
            record.outcome = declared.function(**arguments)
        return record.outcome


def _locked(declared: Declared, arguments: dict[str, Any]) -> AbstractContextManager[bool]:
    name = (declared.lock or "").format(**arguments)
    if not name and declared.every:
        name = declared.name
    return lease(name) if name else nullcontext(True)


def _close(declared: Declared, key: str, seen: int, arguments: dict[str, Any]) -> None:
    with session() as db:
        is_done = outbox.done(db, key, seen)
    if not is_done:
        # A short rest gathers what is asked for meanwhile into one run.
        outbox.publish(declared.name, key, arguments, countdown=REST)


def _failed(
    declared: Declared, message: Task, arguments: dict[str, Any], headers: dict[str, Any]
) -> str | None:
    error = traceback.format_exc()
    tries = int(headers.get("tries", 0)) + 1
    pause = declared.retry.pause(tries)
    log.warning("%s, try %d: %s", message.request.id, tries, error)
    if pause is not None:
        return _later(message, arguments, headers, tries=tries, pause=pause, error=error)
    if key := headers.get("outbox"):
        with session() as db:
            outbox.bury(db, key, error)
    return None


def _later(
    message: Task,
    arguments: dict[str, Any],
    headers: dict[str, Any],
    *,
    waits: int = 0,
    tries: int = 0,
    pause: float | None = None,
    error: str = "",
) -> str:
    """Send the same message again after a pause. Waiting for a lock uses up no try."""
    waited = int(headers.get("waits", 0)) + waits
    wait = pause if pause is not None else min(10.0, 0.1 * 2.0 ** min(waited, 7))
    kept: dict[str, Any] = {key: headers[key] for key in ("outbox",) if key in headers}
    message.apply_async(
        kwargs=arguments,
        task_id=message.request.id,
        countdown=wait,
        headers={**kept, "waits": waited, "tries": tries or int(headers.get("tries", 0))},
    )
    return f"again in {wait:.1f} s" + (f" after {error.strip().splitlines()[-1]}" if error else "")
