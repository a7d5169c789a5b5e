"""The Celery application: the only file that configures Celery."""

from typing import Any

from celery import Celery
from celery.signals import worker_init, worker_process_init
from kombu import Exchange, Queue

from diracx_tasks.core.plugins import load_tasks
from diracx_tasks.core.settings import settings
from diracx_tasks.engine import worker
from diracx_tasks.engine.declared import REGISTRY, served
from diracx_tasks.engine.overrides import effective
from diracx_tasks.engine.queues import DEFAULT, QUEUES

# Longer than the longest task may run; what a dead worker held comes back through the outbox long before.
VISIBILITY = 3600
# A child that has grown beyond this is replaced after its task, in KiB.
CHILD_KIB = 512 * 1024


# Who publishes does not wait for a broker that is away: the row in the outbox is there.
QUICK = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}


def route(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **_: Any) -> dict[str, str]:
    """The queue of a task, by what it declares and the configuration says."""
    if name not in REGISTRY:
        return {"queue": DEFAULT}
    arguments = kwargs or {}
    return {"queue": effective(served(name, arguments), arguments.get("vo")).queue}


def make_app() -> Celery:
    """The application with all tasks loaded."""
    events = "diracx_tasks.engine.reconnect:Events"
    found = Celery("diracx", broker=settings().broker, events=events, set_as_current=True)
    load_tasks()
    exchange = Exchange("diracx", type="direct")
    is_redis = settings().broker.startswith(("redis", "unix", "socket"))
    found.conf.update(
        task_queues=[Queue(name, exchange, routing_key=name) for name in QUEUES],
        task_default_queue=DEFAULT,
        task_routes=(route,),
        task_acks_late=True,
        # A task that kills its process would come back at once, for ever: `engine.worker` counts it as a try.
        task_reject_on_worker_lost=False,
        task_ignore_result=True,
        task_send_sent_event=False,
        worker_consumer="diracx_tasks.engine.reconnect:PatientConsumer",
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_max_tasks_per_child=10_000,
        worker_max_memory_per_child=CHILD_KIB,
        worker_soft_shutdown_timeout=settings().shutdown_seconds,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={**(_redis_options() if is_redis else {"confirm_publish": True}), **QUICK},
        beat_scheduler="diracx_tasks.engine.beat:SqlScheduler",
        enable_utc=True,
        timezone="UTC",
    )
    worker.connect(found)
    return found


def _redis_options() -> dict[str, Any]:
    return {
        "visibility_timeout": VISIBILITY,
        "queue_order_strategy": "priority",
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }


def _warm_up(**_: Any) -> None:
    from diracx_tasks.workflows.isolate import warm_up

    warm_up()


def _prepare(**_: Any) -> None:
    from diracx_tasks.workflows.isolate import prepare

    # Before the pool forks: its processes share what isolates are forked of.
    prepare()


worker_init.connect(_prepare)
worker_process_init.connect(_warm_up)
app = make_app()
