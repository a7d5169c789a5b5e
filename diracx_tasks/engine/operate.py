"""What administrators do with tasks, from the command line and the API."""

import hashlib
import json
from typing import Any

from sqlalchemy.orm import Session

from diracx_tasks.core.database import now
from diracx_tasks.core.errors import Conflict, NotFound
from diracx_tasks.core.origin import origin
from diracx_tasks.engine import batches, broker, dead_letters, history, locks, outbox
from diracx_tasks.engine.declared import REGISTRY, Declared
from diracx_tasks.engine.overview import redis_in_words

KEY = 128


def release_lock(name: str) -> int:
    """Take a lock from whoever holds it; answers how many did, NotFound when nobody."""
    with redis_in_words():
        count = locks.release(name)
    if not count:
        raise NotFound(f"nobody holds {name!r}: see `diracx tasks locks`")
    return count


def known(task: str) -> Declared:
    """What a task declares; NotFound when there is no such task."""
    if task not in REGISTRY:
        raise NotFound(f"there is no task {task!r}: see `diracx tasks registered`")
    return REGISTRY[task]


def retry(db: Session, key: str, *, by: str) -> str:
    """Have a task run now: one that waits, or the newest dead letter under the key. Answers the key."""
    if outbox.find(db, key):
        outbox.hurry(db, key)
        return key
    letters = [one for one in dead_letters.of_key(db, key) if one.state == dead_letters.DEAD]
    if not letters:
        raise NotFound(f"no task waits under {key!r}, and none is dead")
    return dead_letters.retry(db, letters[0].letter_id, by=by)


def revoke(db: Session, key: str, *, is_running: bool = False) -> None:
    """Take a task that waits out; with `is_running` stop it where it runs. NotFound when none is there."""
    removed = outbox.remove(db, key)
    is_known = removed is not None
    if not is_known and not is_running:
        raise NotFound(f"no task waits under {key!r}: to stop one that runs, say so")
    if not is_known and key not in [run["key"] for one in broker.workers() for run in one["running"]]:
        raise NotFound(f"no task waits or runs under {key!r}")
    # Workers leave out what does not wait any more.
    if is_running:
        broker.stop(key)
    if removed:
        _note_revoked(db, removed)


def _note_revoked(db: Session, removed: dict[str, Any]) -> None:
    names = ("key", "task", "arguments", "parent")
    about = {name: removed[name] for name in names}
    words = f"taken out by {origin().by or 'an administrator'}"
    declared = REGISTRY.get(removed["task"])
    subject = declared.subject_of(removed["arguments"]) if declared else None
    more = {"outcome": history.REVOKED, "words": words, "tries": removed["tries"] + 1, "seconds": 0.0}
    rest = {"started_at": now(), "worker": "", "subject": subject, "enqueued_by": removed["enqueued_by"]}
    history.write(db, {**about, **more, **rest, "weight": 1})


def enqueue(db: Session, task: str, arguments: dict[str, Any], *, key: str | None = None) -> str:
    """Have a task run as if the system had asked for it; answers its key.

    Conflict when another task, or one with other arguments, waits under the key.
    """
    declared = known(task)
    if declared.batch:
        declared.check(arguments)
        batches.call_many(db, task, arguments[batches.parameter(declared)])
        return f"{task}.batch"
    declared.check(arguments)
    chosen = key or _key(task, arguments)
    there = outbox.find(db, chosen)
    if there and (there.task, there.arguments) != (task, arguments):
        raise Conflict(
            f"{there.task} {json.dumps(there.arguments)} waits under {chosen!r}: choose another key"
        )
    outbox.enqueue(db, task, chosen, **arguments)
    return chosen


def _key(task: str, arguments: dict[str, Any]) -> str:
    found = ".".join([task, *(str(value) for value in arguments.values())])
    if len(found) <= KEY and found.isprintable():
        return found
    return f"{task}.{hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:32]}"
