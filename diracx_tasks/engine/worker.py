"""What a Celery worker does beside running tasks: its children are set up, and those that die are noticed."""

import logging
from typing import Any

from billiard import current_process
from celery import signals
from celery.exceptions import TimeLimitExceeded, WorkerLostError
from celery.worker import state as worker_state
from celery.worker.control import control_command
from sqlalchemy.exc import SQLAlchemyError

from diracx_tasks.core import telemetry
from diracx_tasks.core.database import session
from diracx_tasks.engine import execute, history, outbox
from diracx_tasks.engine.declared import served
from diracx_tasks.engine.health import Liveness, Readiness
from diracx_tasks.engine.overrides import effective
from diracx_tasks.engine.run import Run

log = logging.getLogger(__name__)
# Keys are used again: a worker that was told to refuse one does so for this many seconds only.
REVOKED = 30.0
# What `stop_task` ends here: its row is the affair of whoever asked for that.
_STOPPED: set[str] = set()


def connect(app: Any) -> None:
    """Have the application's workers do so."""
    app.steps["worker"].add(Liveness)
    app.steps["consumer"].add(Readiness)
    worker_state.revoked.expires = REVOKED
    signals.worker_process_init.connect(_begin_child, weak=False)
    signals.worker_process_shutdown.connect(_end_child, weak=False)
    signals.task_failure.connect(_note_lost, weak=False)
    signals.task_revoked.connect(_take_out, weak=False)
    signals.setup_logging.connect(_set_up_logs, weak=False)


@control_command(args=[("key", str)])  # type: ignore[untyped-decorator]
def stop_task(state: Any, key: str) -> dict[str, str]:
    """End the process that runs a task; what the outbox has of it is not touched."""
    found = [request for request in list(worker_state.active_requests) if request.id == key]
    for request in found:
        _STOPPED.add(key)
        request.terminate(state.consumer.pool, signal="TERM")
    return {"ok": f"{len(found)} stopped"}


def _begin_child(**_: Any) -> None:
    # The pool `solo` has no children, and begins one all the same: its limit would be that of the worker.
    if current_process().name != "MainProcess":
        execute.limit_memory()


def _end_child(**_: Any) -> None:
    history.flush()
    telemetry.flush()


def _set_up_logs(loglevel: Any = None, **_: Any) -> None:
    telemetry.set_up_logs(loglevel)


def _note_lost(
    sender: Any = None, task_id: str = "", exception: Any = None, kwargs: Any = None, **_: Any
) -> None:
    """A child that was killed, or took too long, had no time to say what became of its task."""
    if not isinstance(exception, WorkerLostError | TimeLimitExceeded):
        return
    # Celery 5.7 tells of a time limit twice; the second time its request is empty.
    if sender.request.id is None:
        return
    is_boxed = "outbox" in (sender.request.headers or {})
    try:
        _fail(sender.name, task_id, kwargs or {}, exception, is_boxed=is_boxed)
    except (SQLAlchemyError, KeyError) as error:
        log.warning("%s was lost with its process, and is not noted: %s", task_id, error)


def _take_out(request: Any = None, expired: bool = False, **_: Any) -> None:
    """Celery's and Flower's own revoke means for good; a key that is asked for later is another matter."""
    worker_state.revoked.discard(request.id)
    if request.id in _STOPPED:
        _STOPPED.discard(request.id)
        return
    if "outbox" in (request.headers or {}) and not expired:
        try:
            with session() as db:
                outbox.remove(db, request.id)
        except SQLAlchemyError as error:
            log.warning("%s is revoked, but stays in the outbox: %s", request.id, error)


def _fail(name: str, key: str, arguments: dict[str, Any], error: Exception, *, is_boxed: bool) -> None:
    task = served(name, {})
    run = Run(effective(task, arguments.get("vo")), key, arguments, worker="a process that died")
    with session() as db:
        if is_boxed:
            ticket = outbox.ticket(db, key)
            if ticket is None:
                # It was taken out while it ran.
                return
            run.is_boxed = True
            run.take(ticket)
        else:
            run.tries = len(history.errors(db, key))
        pause = run.task.pause(run.tries + 1, error)
        execute.fail(db, run, f"{type(error).__name__}: {error}", pause)
    if pause is not None and not (run.is_boxed and pause > outbox.SHORT):
        execute.send_again(run, pause)
