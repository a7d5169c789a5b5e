"""A worker that loses the broker while it has tasks goes on with them, and comes back to it."""

from contextlib import suppress
from typing import Any

from celery.worker.consumer import Consumer
from celery.worker.request import Request


class LateRequest(Request):
    """A request whose acknowledgement may come when its connection is closed: noted, and no more.

    A closed Redis channel of kombu 5.7 answers with AttributeError, which is not among its connection's
    errors and would end the whole worker. The outbox knows that the task has ended.
    """

    def __init__(self, *args: Any, connection_errors: tuple[type[Exception], ...] = (), **more: Any) -> None:
        super().__init__(*args, connection_errors=(*connection_errors, AttributeError), **more)


class PatientConsumer(Consumer):
    """A consumer that can always take leave of a lost broker."""

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close what was lost.

        A Redis channel of kombu 5.7 that waits for messages fails when it is closed, and when it is closed
        once more, after its transport, it fails with an AttributeError that would end the whole worker.
        """
        if self.task_consumer:
            with suppress(*self.connection_errors):
                self.task_consumer.channel.close()
        super().on_connection_error_after_connected(exc)
