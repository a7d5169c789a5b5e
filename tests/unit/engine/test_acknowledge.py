"""What becomes of the acknowledgement of a task that ends after its connection was closed."""

import pytest
from celery.utils.imports import symbol_by_name
from kombu import Connection, Queue

from diracx_tasks.app import app
from diracx_tasks.core.settings import settings
from tests.unit.engine.work import Work

QUEUE = Queue("late")


def test_a_task_that_ends_after_its_connection_was_closed_is_acknowledged_without_an_error(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    with Connection(settings().broker) as sender:
        sent = app.amqp.as_task_v2("late-1", "subject.verb", (), {})
        sender.Producer().publish(sent.body, routing_key="late", declare=[QUEUE], headers=sent.headers)
    connection = Connection(settings().broker)
    message = QUEUE.bind(connection.default_channel).get()
    channel = message.channel
    request = symbol_by_name(app.tasks["subject.verb"].Request)(
        message,
        app=app,
        task=app.tasks["subject.verb"],
        on_ack=message.ack_log_error,
        connection_errors=connection.connection_errors,
    )
    channel.qos.restore_at_shutdown = False
    connection.close()
    request.acknowledge()
    assert request.acknowledged
    assert "Couldn't ack" in caplog.text
