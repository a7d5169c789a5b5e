"""A task that ends after its worker has lost the broker."""

from typing import Any

from celery.worker.request import Request


class LateRequest(Request):
    """A request whose acknowledgement may come when its connection is closed: noted, and no more.

    A closed Redis channel of kombu 5.7 answers with AttributeError, which is not among its connection's
    errors and would end the whole worker. The outbox knows that the task has ended.
    """

    def __init__(self, *args: Any, connection_errors: tuple[type[Exception], ...] = (), **more: Any) -> None:
        super().__init__(*args, connection_errors=(*connection_errors, AttributeError), **more)
