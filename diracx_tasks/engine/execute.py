"""What happens around a run: the outbox's row, locks and limits, memory, retries, dead letters, history."""

import logging
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from celery import current_app
from celery.exceptions import Retry
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from diracx_tasks.core.database import reading, session
from diracx_tasks.core.errors import DiracXError
from diracx_tasks.core.origin import Origin, origin, originating
from diracx_tasks.core.telemetry import span
from diracx_tasks.engine import batches, dead_letters, history, outbox, schedules
from diracx_tasks.engine.declared import ENGINES, Declared, InvalidArguments
from diracx_tasks.engine.locks import admission
from diracx_tasks.engine.overrides import effective
from diracx_tasks.engine.policies import Want
from diracx_tasks.engine.run import Later, Run, running, traceback_of

log = logging.getLogger(__name__)
# What is asked for while a task runs is gathered for so long.
REST = 0.1
FIRST_WAIT = 0.1
# A lock is usually short; a place within a limit may take long to come free.
LONGEST_WAIT = {"lock": 10.0, "limit": 60.0}
DISABLED = 60.0
MIB = 1 << 20
REFUSED = "Refused"
# The sweep sends what has not ended again, at last every 15 minutes: after some hours it is the task's fault.
SENT_IN_VAIN = 30


class Again(Retry):
    """The message was sent again; Celery and Flower show it as a retry, not as an end."""

    def __init__(self, words: str, error: BaseException | None, when: float) -> None:
        super().__init__(words, error, when)
        self.words = words

    def __str__(self) -> str:
        """What the task waits for."""
        return self.words

    def __reduce__(self) -> Any:
        """Between processes of a worker."""
        return Again, (self.words, None, self.when)


@dataclass(frozen=True)
class Result:
    """How a try ended: Done, Failed, Dead, or Refused; `wait` seconds before the next one, if any."""

    kind: str
    words: str
    wait: float | None = None
    error: Exception | None = None


class OutOfMemory(DiracXError):
    """A task wanted more memory than it may use."""


class NeverEnded(DiracXError):
    """A task whose messages were delivered again and again, and nobody said what became of them."""


class _Children:
    """Whether this process is a worker's child, whose memory may be limited."""

    limited = False


def limit_memory() -> None:
    """Have tasks of this process keep to their memory; for a worker's child processes."""
    _Children.limited = True


def execute(declared: Declared, request: Any, arguments: dict[str, Any]) -> str:
    """Run a message's task as it was declared and configured; raises Again when it comes once more."""
    run = Run.of_message(effective(declared, arguments.get("vo")), request, arguments)
    if run.is_boxed:
        try:
            with reading() as db:
                ticket = outbox.ticket(db, run.key)
        except SQLAlchemyError as error:
            raise _again(run, _growing(run, "lock"), f"no database: {error}") from error
        if ticket is None:
            return "already done"
        run.take(ticket)
        if ticket.published > SENT_IN_VAIN:
            words = f"it was sent {ticket.published} times and never ended: its worker dies or hangs"
            raise _failed(run, Result(history.DEAD, words, None, NeverEnded(f"{run.key}: {words}")))
    if not run.task.is_enabled:
        raise _again(run, DISABLED, "disabled by the configuration")
    return attempt(run)


def attempt(run: Run) -> str:
    """One try of a message's task; what came of it is kept. Raises Again or the last try's error."""
    result = outcome_of(run)
    if result.kind == REFUSED:
        raise _again(run, result.wait or 0, result.words)
    if result.error:
        raise _failed(run, result) from result.error
    _succeeded(run, result.words)
    return result.words


def outcome_of(run: Run) -> Result:
    """One try with its locks and limits; nothing is kept of it yet."""
    subject = run.subject
    labels = {"task": run.task.name, **({"subject": subject} if subject else {})}
    with originating(Origin(run.origin.by, run.key, run.origin.trace, labels)):
        return _outcome_of(run)


def _outcome_of(run: Run) -> Result:
    try:
        checked = run.arguments if run.task.batch else run.task.check(run.arguments)
        wants = [*run.task.wants(checked), *_own_lock(run)]
    except InvalidArguments as error:
        return _failure(run, error)
    with admission(wants) as given:
        if given.refused:
            kind = "lock" if given.refused.is_lock else "limit"
            wait = max(given.retry_after, _growing(run, kind))
            return Result(REFUSED, f"waits for {given.refused.key}", wait)
        run.admission = given
        try:
            return Result(history.DONE, _call(run, checked))
        except Later as later:
            return Result(REFUSED, str(later), later.seconds)
        except Exception as error:
            return _failure(run, error)


def _own_lock(run: Run) -> list[Want]:
    """A run that may outlast the outbox's patience keeps out the copies of its message that are sent then."""
    is_long = run.task.size != "small" or run.task.batch or run.task.name in ENGINES
    return [Want("write", f"lock:run:{run.key}")] if run.ticket and is_long else []


def _call(run: Run, arguments: dict[str, Any]) -> str:
    with (
        span(run.task.name, run.origin.trace, key=run.key, subject=run.subject, tries=run.tries) as trace,
        running(run),
        _memory(run.task.memory),
    ):
        origin().trace = trace
        try:
            outcome = batches.work(run.task) if run.task.batch else str(run.task.function(**arguments))
        except MemoryError as error:
            # A MemoryError that reaches Celery ends the whole worker.
            raise OutOfMemory(f"{run.task.name} may use {run.task.memory} MiB") from error
    lost = ", ".join(want.key for want in run.admission.lost)
    return f"{outcome} (lost {lost} while it ran)" if lost else outcome


@contextmanager
def _memory(mib: int) -> Iterator[None]:
    """What is allocated beyond so much raises MemoryError, in this process and those that it starts."""
    if not _Children.limited:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = mib * MIB if hard == resource.RLIM_INFINITY else min(mib * MIB, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _succeeded(run: Run, outcome: str) -> None:
    is_done = True
    row = run.row(history.DONE, outcome)
    if run.ticket:
        with session() as db:
            is_done = outbox.done(db, run.ticket)
            if run.is_scheduled:
                schedules.note(db, row)
    if not is_done:
        outbox.publish(run.task.name, run.key, run.arguments, countdown=REST)
    history.note(row, is_small=run.task.size == "small")


def _growing(run: Run, kind: str) -> float:
    return min(LONGEST_WAIT[kind], FIRST_WAIT * 2.0 ** min(run.waits, 10))


def _failure(run: Run, error: Exception) -> Result:
    words = traceback_of(error)
    pause = run.task.pause(run.tries + 1, error)
    log.warning("%s, try %d of %s: %s", run.key, run.tries + 1, run.task.name, words)
    return Result(history.FAILED if pause is not None else history.DEAD, words, pause, error)


def _failed(run: Run, result: Result) -> BaseException:
    """Keep the error and have the task tried again, or bury it; the exception to raise."""
    assert result.error is not None
    try:
        with session() as db:
            fail(db, run, result.words, result.wait)
    except SQLAlchemyError as trouble:
        log.error("%s: its error is not kept: %s", run.key, trouble)
    if result.wait is None:
        return result.error
    last = result.words.strip().splitlines()[-1]
    if run.is_boxed and result.wait > outbox.SHORT:
        return Again(f"again in {result.wait:.1f} s after {last}", result.error, result.wait)
    return _send(run, result.wait, f"after {last}", tries=run.tries + 1)


def fail(db: Session, run: Run, words: str, pause: float | None) -> None:
    """Keep a failed try, and what follows from it: another after a pause, or a dead letter."""
    row = run.row(history.FAILED if pause is not None else history.DEAD, words)
    history.write(db, row)
    if run.is_scheduled:
        schedules.note(db, row)
    if pause is None:
        if run.ticket:
            outbox.give_up(db, run.ticket)
        if run.task.dead_letter:
            since = run.ticket.created_at if run.ticket else None
            dead_letters.bury(db, {**row, "tries": run.tries + 1}, since=since, error=row["words"])
    elif run.ticket and pause > outbox.SHORT:
        outbox.put_off(db, run.ticket, pause, tries=run.tries + 1)
    elif run.ticket:
        outbox.note_tries(db, run.ticket, run.tries + 1, pause)


def send_again(run: Run, pause: float) -> None:
    """Send the message of a failed try again after a pause."""
    _send(run, pause, "", tries=run.tries + 1)


def _again(run: Run, wait: float, words: str) -> Again:
    """Send the message again after a wait that uses up no try; long waits are the outbox's."""
    if run.ticket and wait > outbox.SHORT:
        try:
            with session() as db:
                outbox.put_off(db, run.ticket, wait, tries=run.tries, waits=run.waits + 1)
            return Again(f"again in {wait:.1f} s: {words}", None, wait)
        except SQLAlchemyError as error:
            log.warning("%s cannot be put off in the database: %s", run.key, error)
    return _send(run, wait, words, waits=run.waits + 1)


def _send(run: Run, wait: float, words: str, *, tries: int | None = None, waits: int = 0) -> Again:
    source = run.origin
    kept = {"outbox": run.key} if run.is_boxed else {}
    headers = {
        **kept,
        "waits": waits,
        "tries": run.tries if tries is None else tries,
        "by": source.by,
        "parent": source.parent,
        "traceparent": source.trace,
    }
    current_app.tasks[run.task.name].apply_async(
        kwargs=run.arguments, task_id=run.key, countdown=wait, headers=headers
    )
    return Again(f"again in {wait:.1f} s: {words}", None, wait)
