"""Transactions that waited for each other: the one that the database has ended is carried out again."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError, TimeoutError
from sqlalchemy.orm import Session

ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK = 1205, 1213
TRIES = 10
LONGEST_PAUSE = 0.05
T = TypeVar("T")


def patiently(db: Session, work: Callable[[], T]) -> T:
    """What `work` on a new transaction answers, or answers when it is tried again after a deadlock.

    MariaDB has undone the whole transaction then. `work` may end with the commit.
    """
    for _ in range(TRIES - 1):
        try:
            return work()
        except OperationalError as error:
            if not is_deadlock(error):
                raise
        undo(db)
        time.sleep(random.uniform(0, LONGEST_PAUSE))
    return work()


def undo(db: Session) -> None:
    """Roll back, to begin again: what was to happen with the commit will be wanted again then."""
    db.rollback()
    for wish in ("enqueued", "after_commit"):
        db.info.pop(wish, None)


def is_deadlock(error: OperationalError) -> bool:
    """Whether the database says that nothing of the transaction was done because of another one."""
    words = error.orig.args if error.orig else ()
    return bool(words) and words[0] == ER_LOCK_DEADLOCK


def may_pass(error: SQLAlchemyError) -> bool:
    """Whether it is the moment's fault: the same transaction may go well when it is carried out again."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, TimeoutError)
    words = error.orig.args if error.orig else ()
    is_locked = bool(words) and (
        words[0] in (ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK) or "locked" in str(words[0])
    )
    return error.connection_invalidated or is_locked
