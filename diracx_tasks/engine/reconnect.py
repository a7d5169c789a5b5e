"""A worker that loses the broker while it has tasks goes on with them, and comes back to it."""

from contextlib import suppress
from typing import Any

from celery.app.events import Events as CeleryEvents
from celery.events import EventDispatcher
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from celery.worker.state import maybe_shutdown


class LateRequest(Request):
    """A request whose acknowledgement may come when its connection is closed: noted, and no more.

    A closed Redis channel of kombu 5.7 answers with AttributeError, which is not among its connection's
    errors and would end the whole worker. The outbox knows that the task has ended.
    """

    def __init__(self, *args: Any, connection_errors: tuple[type[Exception], ...] = (), **more: Any) -> None:
        super().__init__(*args, connection_errors=(*connection_errors, AttributeError), **more)


class PatientConsumer(Consumer):
    """A consumer that can always take leave of a lost broker."""

    def start(self) -> None:
        """Consume until the worker ends; what fails because the pool has just been stopped is no error."""
        try:
            super().start()
        except Exception:
            maybe_shutdown()
            raise

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close what was lost.

        A Redis channel of kombu 5.7 that waits for messages fails when it is closed, and when it is closed
        once more, after its transport, it fails with an AttributeError that would end the whole worker.
        """
        if self.task_consumer:
            with suppress(*self.connection_errors):
                self.task_consumer.channel.close()
        super().on_connection_error_after_connected(exc)


class Dispatcher(EventDispatcher):
    """Sends each event once; what does not get through goes with the next connection."""

    def send(self, *args: Any, retry: bool = False, **options: Any) -> Any:
        """Wait for no broker: Celery repeats heartbeats for ever, and the worker cannot end meanwhile."""
        return super().send(*args, retry=False, **options)


class Events(CeleryEvents):
    """Celery's, with our dispatcher."""

    dispatcher_cls = f"{__name__}:Dispatcher"
