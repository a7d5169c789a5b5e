"""`celery -A diracx_tasks beat`: the schedule and the outbox's sweep, by one of any number of beats."""

import logging
import os
import platform
import signal
import time
from typing import Any

from celery.beat import Scheduler, Service
from celery.signals import beat_init
from sqlalchemy.exc import SQLAlchemyError

from diracx_tasks.core import config
from diracx_tasks.core.database import session
from diracx_tasks.core.errors import DiracXError
from diracx_tasks.core.origin import Origin, originating
from diracx_tasks.engine import health, schedules
from diracx_tasks.engine.outbox import PAGE
from diracx_tasks.engine.run import BEAT
from diracx_tasks.engine.sweep import sweep

log = logging.getLogger(__name__)
PAUSE = 1.0
# VOs and overrides change with the configuration; extensions and operators' changes are in the database.
SYNCHRONIZE = 60.0
TROUBLE = 3.0


class SqlScheduler(Scheduler):
    """Celery's beat with its entries in SQL; Celery's own `beat_schedule` is not used."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.holder = f"{platform.node()}-{os.getpid()}"
        self.is_leader: bool | None = None
        self.version: str | None = None
        self.synchronized = float("-inf")
        self.is_working = self.is_stopping = False
        super().__init__(*args, **options)

    def setup_schedule(self) -> None:
        """Nothing is kept in this process."""

    def tick(self, *args: Any, **options: Any) -> float:
        """Do what is due; answers seconds until the next look."""
        health.touch("beat")
        self.is_working = True
        pause = self._look()
        self.is_working = False
        if self.is_stopping:
            raise SystemExit
        return pause

    def stop(self, *_: Any) -> None:
        """End this process, after the look that it is at; for a signal's handler, harmless when repeated."""
        if self.is_stopping:
            return
        self.is_stopping = True
        if not self.is_working:
            raise SystemExit

    def close(self) -> None:
        """Let another beat take over at once."""
        try:
            with session() as db:
                schedules.resign(db, self.holder)
        except SQLAlchemyError as error:
            log.warning("beat: %s", error)

    def _look(self) -> float:
        try:
            with originating(Origin(BEAT)):
                return self._work()
        except (SQLAlchemyError, DiracXError) as error:
            log.warning("beat: %s", str(error).split("\n")[0])
        except Exception:
            # The next look may go well, and without a beat nothing is done at all.
            log.exception("beat: an error in the program")
        return TROUBLE

    def _work(self) -> float:
        with session() as db:
            leads = schedules.lead(db, self.holder)
        if leads != self.is_leader:
            log.warning("beat %s %s", self.holder, "leads" if leads else "waits")
            self.is_leader, self.version = leads, None
        if not leads:
            return PAUSE
        began = time.monotonic()
        self._synchronize(began)
        with session() as db:
            schedules.run_due(db)
        with session() as db:
            is_more = sweep(db) == PAGE
        return 0.0 if is_more else max(0.0, PAUSE - (time.monotonic() - began))

    def _synchronize(self, now: float) -> None:
        version = config.version()
        if version == self.version and now < self.synchronized + SYNCHRONIZE:
            return
        with session() as db:
            schedules.synchronize(db)
        self.version, self.synchronized = version, now


@beat_init.connect  # type: ignore[untyped-decorator]
def _stop_between_looks(sender: Service, **_: Any) -> None:
    # Celery's own handler calls `close` wherever the process is: amid a transaction that waits for itself.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, sender.scheduler.stop)
