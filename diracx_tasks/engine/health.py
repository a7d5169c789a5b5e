"""Files that a probe can look at: touched as long as a worker or beat lives, and while it is ready.

`celery inspect ping` costs seconds; `find FILE -mmin -1` costs nothing.
"""

import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import bootsteps

from diracx_tasks.core.settings import settings

log = logging.getLogger(__name__)
PERIOD = 5.0


def touch(name: str) -> None:
    """Touch the file of that name, if the settings want files."""
    if folder := settings().health_files:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            (Path(folder) / name).touch()
        except OSError as error:
            log.warning("the health file cannot be touched: %s", error)


def forget(name: str) -> None:
    """Remove the file of that name."""
    if folder := settings().health_files:
        with suppress(OSError):
            (Path(folder) / name).unlink(missing_ok=True)


class Liveness(bootsteps.StartStopStep):
    """Touches `worker-live` from a thread while the worker's process lives."""

    def __init__(self, parent: Any, **options: Any) -> None:
        self.is_over = threading.Event()
        super().__init__(parent, **options)

    def start(self, parent: Any) -> None:
        """With the worker."""
        touch("worker-live")
        threading.Thread(target=self._work, daemon=True, name="liveness").start()

    def stop(self, parent: Any) -> None:
        """With the worker."""
        self.is_over.set()
        forget("worker-live")

    def terminate(self, parent: Any) -> None:
        """As stop."""
        self.stop(parent)

    def _work(self) -> None:
        while not self.is_over.wait(PERIOD):
            touch("worker-live")


class Readiness(bootsteps.StartStopStep):
    """Touches `worker-ready` from the consumer's own loop while it is connected to the broker."""

    # Last: a step before it that waits for a broker that has just died must not leave the file behind.
    requires = tuple(
        f"celery.worker.consumer.{name}"
        for name in ("tasks:Tasks", "control:Control", "heart:Heart", "gossip:Gossip")
    )

    def start(self, parent: Any) -> None:
        """With each connection."""
        touch("worker-ready")
        self.timer = parent.timer.call_repeatedly(PERIOD, touch, ("worker-ready",))

    def stop(self, parent: Any) -> None:
        """With the connection."""
        if timer := getattr(self, "timer", None):
            timer.cancel()
        forget("worker-ready")

    def terminate(self, parent: Any) -> None:
        """As stop."""
        self.stop(parent)
