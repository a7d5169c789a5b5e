"""Celery's broker and workers: sending, how long queues are and since when, who works, stopping what runs."""

import json
import logging
import time
from functools import lru_cache
from typing import Any

from amqp.exceptions import NotFound
from celery import current_app
from kombu.exceptions import ChannelError, OperationalError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from diracx_tasks.core.errors import Unavailable
from diracx_tasks.core.settings import settings
from diracx_tasks.engine.queues import QUEUES

log = logging.getLogger(__name__)
MARK, NEW_MARK = "diracx:broker-mark", "diracx:broker-mark-is-new"
# Within these seconds every worker tells Redis again that it listens: a third of kombu's MIN_BINDING_TTL.
TOLD_AGAIN = 1500
# How long workers may take to answer; they do so within some milliseconds unless they are gone.
PATIENCE = 1.0


def send(task: str, key: str, arguments: dict[str, Any], *, countdown: float = 0, **headers: Any) -> None:
    """Hand a task of the outbox to the broker; raises when the broker does not answer."""
    sender = current_app.tasks[task] if task in current_app.tasks else current_app.signature(task)
    sender.apply_async(
        kwargs=arguments,
        task_id=key,
        headers={"outbox": key, "sent": time.time(), **headers},
        countdown=countdown or None,
        retry=False,
    )


def is_redis() -> bool:
    """Whether the broker is a Redis."""
    return settings().broker.startswith(("redis", "unix", "socket"))


def is_forgetful() -> bool:
    """Whether the broker was flushed since `remember`: then the mark that it leaves there is gone."""
    try:
        return is_redis() and not _redis(settings().broker).exists(MARK)
    except RedisError:
        return False


def remember() -> None:
    """Leave a mark in the broker; it goes with everything else when the broker loses its memory."""
    _redis(settings().broker).set(NEW_MARK, "here", ex=TOLD_AGAIN)
    _redis(settings().broker).set(MARK, "here")


def oldest(queue: str) -> float | None:
    """When the message that is next was sent, in seconds since 1970; None when the queue is empty or away."""
    try:
        if is_redis():
            found: Any = _redis(settings().broker).lindex(queue, -1)
            return _sent(json.loads(found)) if found else None
        with current_app.connection_for_read() as connection:
            message = connection.default_channel.basic_get(queue, no_ack=False)
            if message is None:
                return None
            # It goes back to where it was.
            message.channel.basic_reject(message.delivery_tag, requeue=True)
            return _number(message.headers.get("sent"))
    except (RedisError, OperationalError, ChannelError, NotFound, OSError, ValueError):
        return None


def ages(lengths: dict[str, int]) -> dict[str, float | None]:
    """Since when in seconds the next message of each queue waits; None where there is none."""
    sent = {queue: oldest(queue) if length else None for queue, length in lengths.items()}
    now = time.time()
    return {queue: max(0.0, now - moment) if moment else None for queue, moment in sent.items()}


def waiting() -> dict[str, int]:
    """How many messages each queue holds; Unavailable when the broker does not answer."""
    try:
        with current_app.connection_for_read() as connection:
            return {queue: _length(connection, queue) for queue in QUEUES}
    except (OperationalError, RedisError, OSError) as error:
        raise Unavailable(f"the broker does not answer: {error}; see DIRACX_BROKER_URL") from error


def workers() -> list[dict[str, Any]]:
    """Every worker that answers: its queues, processes, and what it runs now."""
    try:
        most = _bound()
        if most == 0:
            return []
        inspect = current_app.control.inspect(timeout=PATIENCE, limit=most)
        stats = inspect.stats() or {}
        # Now it is known who answers: nobody else is waited for.
        named = current_app.control.inspect(destination=list(stats), timeout=PATIENCE, limit=len(stats))
        active = (named.active() or {}) if stats else {}
        queues = (named.active_queues() or {}) if stats else {}
    except (OperationalError, RedisError, OSError) as error:
        raise Unavailable(f"the broker does not answer: {error}; see DIRACX_BROKER_URL") from error
    return [
        {
            "worker": name,
            "processes": found.get("pool", {}).get("max-concurrency"),
            "uptime": found.get("uptime"),
            "queues": sorted(queue["name"] for queue in queues.get(name) or []),
            "running": [_running(one) for one in active.get(name) or []],
        }
        for name, found in sorted(stats.items())
    ]


def _bound() -> int | None:
    """How many workers listen, as far as Redis knows: when all have answered, nobody else is waited for.

    Some that were killed may be among them. None: the broker does not tell, or has lost its memory lately.
    """
    if not is_redis() or _redis(settings().broker).mget(MARK, NEW_MARK) != [b"here", None]:
        return None
    with current_app.connection_for_read() as connection:
        return len(connection.default_channel.get_table(current_app.control.mailbox.exchange.name))


def stop(key: str) -> None:
    """Have whichever worker runs a task end its process."""
    try:
        # Celery's own revoke would have every worker refuse the key for hours, also when asked for anew.
        current_app.control.broadcast("stop_task", arguments={"key": key})
    except (OperationalError, RedisError, OSError) as error:
        raise Unavailable(f"the broker does not answer: {error}; see DIRACX_BROKER_URL") from error


def _running(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "key": one.get("id"),
        "task": one.get("name"),
        "arguments": one.get("kwargs"),
        "queue": (one.get("delivery_info") or {}).get("routing_key"),
        "started": one.get("time_start"),
    }


def _length(connection: Any, queue: str) -> int:
    try:
        # A channel of its own: RabbitMQ closes it when it does not know the queue.
        with connection.channel() as channel:
            return int(channel.queue_declare(queue=queue, passive=True).message_count)
    except (ChannelError, NotFound):
        return 0


def _sent(message: dict[str, Any]) -> float | None:
    return _number(message.get("headers", {}).get("sent"))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


@lru_cache(2)
def _redis(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=2, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0))
