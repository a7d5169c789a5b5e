"""One transaction for what several threads want at the same time: who comes first carries it out for all."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy.orm import Session

from diracx_tasks.core.away import is_away
from diracx_tasks.core.database import commit, new_session
from diracx_tasks.core.deadlocks import patiently

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

PAUSE = 0.003


@dataclass
class _Caller:
    asked: Any
    woken: threading.Event = field(default_factory=threading.Event)
    answer: Any = None
    error: BaseException | None = None
    is_next: bool = False


class Gathered(Generic[Asked, Answer]):
    """A verb on many that callers use one by one; each returns when its own is in the database.

    `carry_out` answers in the order of what is asked. When it fails for several, each is tried alone, so that
    nobody fails for another's mistake.
    """

    def __init__(
        self, carry_out: Callable[[Session, list[Asked]], Sequence[Answer]], most: int = 100
    ) -> None:
        self._carry_out = carry_out
        self._most = most
        self._lock = threading.Lock()
        self._waiting: list[_Caller] = []
        self._is_busy = False
        self._were_several = False

    def __call__(self, asked: Asked) -> Answer:
        """What `carry_out` answers for this one, after the commit."""
        me = _Caller(asked)
        with self._lock:
            self._waiting.append(me)
            me.is_next, self._is_busy = not self._is_busy, True
        if not me.is_next:
            me.woken.wait()
        if me.is_next:
            self._lead()
        if me.error is not None:
            raise me.error
        answer: Answer = me.answer
        return answer

    def _lead(self) -> None:
        if self._were_several:
            # The others of the last time are on their way again: better all at once than this one first.
            time.sleep(PAUSE)
        with self._lock:
            together, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            self._were_several = len(together) > 1
        try:
            self._carry(together)
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._is_busy = following is not None
            if following:
                following.is_next = True
                following.woken.set()
            for one in together:
                one.woken.set()

    def _carry(self, together: list[_Caller]) -> None:
        is_committing = False

        def store() -> Sequence[Answer]:
            nonlocal is_committing
            is_committing = False
            answers = self._carry_out(db, [one.asked for one in together])
            is_committing = True
            commit(db)
            return answers

        try:
            with new_session() as db:
                try:
                    answers = patiently(db, store)
                except Exception as error:
                    # A commit that fails may have happened all the same: it is not tried again.
                    if len(together) == 1 or is_committing or is_away(error):
                        raise
                    # Nothing of it is in the database: one may have spoilt it for the others.
                    db.rollback()
                    for one in together:
                        self._carry([one])
                    return
        except BaseException as error:
            for one in together:
                one.error = error
            if not isinstance(error, Exception):
                raise
        else:
            for one, answer in zip(together, answers, strict=True):
                one.answer = answer
