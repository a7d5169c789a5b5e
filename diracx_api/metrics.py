"""What the server counts for Prometheus, and the spans and origins of requests."""

import re
import time
from collections.abc import Iterator

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from redis.exceptions import RedisError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diracx_tasks.core import config
from diracx_tasks.core.database import reading
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.core.origin import Origin, originating
from diracx_tasks.core.telemetry import rename, span
from diracx_tasks.engine import broker, dead_letters, history, overview, repairs
from diracx_tasks.jobs import parameters, to_count
from diracx_tasks.jobs import search as jobs
from diracx_tasks.pilots import register as pilots
from diracx_tasks.workflows import search as workflows

REQUESTS = Counter("diracx_http_requests", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram(
    "diracx_http_request_seconds", "Time until the answer began, in seconds.", ["method", "route"]
)
JOBS = Gauge("diracx_jobs", "Jobs by status.", ["status"])
WORKFLOWS = Gauge("diracx_workflows", "Workflows by status.", ["status"])
PILOTS = Gauge("diracx_pilots", "Pilots by status.", ["status"])
OUTBOX = Gauge("diracx_outbox", "Tasks that must happen and have not ended.")
OLDEST = Gauge("diracx_outbox_oldest_seconds", "Since when the oldest of them waits or runs, in seconds.")
DEAD = Gauge("diracx_dead_letters", "Tasks whose tries are used up.", ["task"])
NEWS = Gauge("diracx_job_parameters_waiting", "Values of job parameters that wait for OpenSearch.")
NEWS_AGE = Gauge("diracx_job_parameters_oldest_seconds", "Since when the oldest of them waits, in seconds.")
NEWS_REFUSED = Gauge("diracx_job_parameters_refused", "Values that OpenSearch will not have.")
UNCOUNTED = Gauge("diracx_attempts_to_count", "Attempts that have ended and are in no sum of use yet.")
LAG = Gauge("diracx_schedule_lag_seconds", "How late the schedule is, in seconds.")
LEADER = Gauge("diracx_beat_leader", "1 for the beat that leads.", ["holder"])
WAITING = Gauge("diracx_queue_messages", "Messages that wait in the broker.", ["queue"])
CONFIGURATION = Gauge(
    "diracx_configuration_good", "0 while the newest configuration is refused and an older one in force."
)
AGE = Gauge("diracx_queue_oldest_seconds", "Since when the next message waits, in seconds.", ["queue"])
# W3C Trace Context; a trace or parent of zeros is none, and version ff is forbidden.
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class TaskCounters:
    """What all workers have counted of their runs, as one set of metrics."""

    def describe(self) -> list[Metric]:
        """Nothing: otherwise Prometheus' registry would ask Redis when this module is imported."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Runs by outcome, and their times; nothing while Redis is away."""
        try:
            counted = history.counters()
        except RedisError:
            return
        runs = CounterMetricFamily(
            "diracx_task_runs",
            "Runs by outcome; Failed ones were tried again.",
            labels=["task", "outcome"],
        )
        seconds = HistogramMetricFamily("diracx_task_seconds", "Run times in seconds.", labels=["task"])
        for (what, task, label), value in sorted(counted.items()):
            if what == "runs":
                runs.add_metric([task, label], value)
            elif what == "seconds":
                total, buckets = 0.0, []
                for bound in [*map(str, history.BUCKETS), "+Inf"]:
                    total += counted.get(("bucket", task, bound), 0)
                    buckets.append((bound, total))
                seconds.add_metric([task], buckets, sum_value=value)
        yield runs
        yield seconds


class RepairCounters:
    """What was found that should never be, since the installation was made."""

    def describe(self) -> list[Metric]:
        """Nothing, as of the others."""
        return []

    def collect(self) -> Iterator[Metric]:
        """How often, by invariant; 0 of those that were looked at and never broken."""
        words = "Things found that should never be, and put right where they can be."
        found = CounterMetricFamily("diracx_repaired", words, labels=["invariant"])
        with reading() as db:
            for name, total in sorted(repairs.totals(db).items()):
                found.add_metric([name], total)
        yield found


REGISTRY.register(TaskCounters())
REGISTRY.register(RepairCounters())


def refresh() -> None:
    """Bring the gauges up to date with the database and the broker."""
    with reading() as db:
        counted = (
            (JOBS, jobs.totals(db)),
            (WORKFLOWS, workflows.totals(db)),
            (PILOTS, pilots.totals(db)),
            (DEAD, dead_letters.total(db)),
        )
        totals = overview.backlog(db)
        waiting, oldest = parameters.backlog(db)
        NEWS_REFUSED.set(parameters.refused_count(db))
        UNCOUNTED.set(to_count.backlog(db))
    for gauge, found in counted:
        gauge.clear()
        for label, count in found.items():
            gauge.labels(label).set(count)
    NEWS.set(waiting)
    NEWS_AGE.set(oldest)
    OUTBOX.set(totals["pending"])
    OLDEST.set(totals["oldest_seconds"])
    CONFIGURATION.set(not config.problem())
    LAG.set(totals["schedule_lag_seconds"])
    LEADER.clear()
    if totals["leader"]:
        LEADER.labels(totals["leader"]).set(1)
    _refresh_queues()


def _refresh_queues() -> None:
    WAITING.clear()
    AGE.clear()
    try:
        lengths = broker.waiting()
    except Unavailable:
        return
    for queue, age in broker.ages(lengths).items():
        WAITING.labels(queue).set(lengths[queue])
        AGE.labels(queue).set(age or 0)


class Measured:
    """ASGI middleware that counts, times and traces requests by route, and notes who asked."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and note how it went."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        is_answered = False

        def note(status: int) -> None:
            nonlocal is_answered
            is_answered = True
            # Unknown addresses share a label, or a scanner would fill the memory.
            route = getattr(scope.get("route"), "path", "unknown")
            REQUESTS.labels(scope["method"], route, status).inc()
            SECONDS.labels(scope["method"], route).observe(time.perf_counter() - began)
            rename(f"{scope['method']} {route}", status=status)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                note(message["status"])
            await send(message)

        with span(scope["method"], _trace(scope)) as trace, originating(Origin(trace=trace)):
            try:
                await self.app(scope, receive, answer)
            except Exception:
                # Starlette answers what nobody expected outside of all middleware.
                if not is_answered:
                    note(500)
                raise


def checked_trace(given: str | None) -> str | None:
    """A W3C traceparent as it came, None when it is not one: it is stored and sent on."""
    return given if given and TRACEPARENT.fullmatch(given) else None


def _trace(scope: Scope) -> str | None:
    given = (value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent")
    return checked_trace(next(given, None))
