"""A worker that has lost its broker: what ends late is acknowledged, and the connection is closed."""

import warnings
from pathlib import Path

import pytest
from celery.utils.imports import symbol_by_name
from kombu import Connection, Queue

from diracx_tasks.app import app
from diracx_tasks.core.settings import settings
from tests.servers import Redis
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


def test_a_lost_broker_is_taken_leave_of_while_the_worker_waits_and_has_tasks(tmp_path: Path) -> None:
    with Redis(tmp_path / "redis") as server:
        consumer = app.WorkController(pool_cls="solo").consumer
        consumer.connection = connection = Connection(server.url)
        channel = connection.default_channel
        connection.Producer().publish({}, routing_key="late", declare=[QUEUE])
        got: list[object] = []
        consumer.task_consumer = connection.Consumer(QUEUE, on_message=got.append)
        consumer.task_consumer.consume()
        # Remote control has a channel of its own, whose closing fails as well.
        connection.Consumer(Queue("control"), channel=connection.channel(), on_message=got.append).consume()
        while not got:
            connection.drain_events(timeout=5)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
        # It waits for more, and has not acknowledged what it got: else this would prove nothing.
        assert channel._in_poll and channel.qos._delivered
        server.kill()
        with warnings.catch_warnings(action="ignore", category=PendingDeprecationWarning):
            consumer.on_connection_error_after_connected(ConnectionError())
        assert consumer.connection is None and channel.closed
