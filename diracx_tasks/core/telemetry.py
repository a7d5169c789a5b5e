"""Log lines and traces: JSON lines with ids on request, spans over OTLP when an endpoint is stated."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.origin import origin
from diracx_tasks.core.settings import settings

FIELDS = "%(levelname)s %(name)s %(message)s"
TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
# What a record gets of the task or request at work, where there is one.
IDS = ("task_id", "task", "subject", "by", "trace_id")
# These have handlers of their own unless they are silenced.
SERVERS = ("uvicorn", "uvicorn.access")
# A collector that is away is told of so often, in seconds.
RARELY = 300.0


class Ids(logging.Filter):
    """Adds to each record what is at work: the task's id, name and subject, who asked, the trace."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass."""
        source = origin()
        found = {
            "task_id": source.parent,
            "by": source.by or None,
            "trace_id": "".join((source.trace or "").split("-")[1:2]),
            **source.labels,
            **_told_by_celery(record),
        }
        for name in IDS:
            if found.get(name) and not hasattr(record, name):
                setattr(record, name, found[name])
        return True


def _told_by_celery(record: logging.LogRecord) -> dict[str, Any]:
    """What Celery's own lines about a task, from before and after its run, say of it."""
    data = getattr(record, "data", None)
    if not record.name.startswith("celery.") or not isinstance(data, dict):
        return {}
    return {"task_id": data.get("id"), "task": data.get("name")}


class Rarely(logging.Filter):
    """Lets one line about trouble with the collector pass in RARELY seconds, and everything else."""

    until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is for the log."""
        if not record.name.startswith("opentelemetry"):
            return True
        if time.monotonic() < self.until:
            return False
        self.until = time.monotonic() + RARELY
        return True


def set_up_logs(level: int | str | None = None) -> None:
    """Have this process log as the settings say; harmless when repeated.

    `level` counts where DIRACX_LOG_LEVEL is not stated. SettingsError when that is none, or when what
    DIRACX_OTEL_ENDPOINT needs is missing.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.set_name("diracx")
    for one in (Rarely(), Ids()):
        handler.addFilter(one)
    handler.setFormatter(_formatter())
    root = logging.getLogger()
    root.handlers = [*(one for one in root.handlers if one.name != "diracx"), handler]
    is_stated = "log_level" in settings().model_fields_set
    try:
        root.setLevel(level if level and not is_stated else settings().log_level.upper())
    except ValueError as error:
        raise SettingsError(f"DIRACX_LOG_LEVEL: {error}; use DEBUG, INFO, WARNING or ERROR") from error
    for server in map(logging.getLogger, SERVERS):
        if server.handlers:
            server.handlers, server.propagate = [], True
            server.setLevel(logging.NOTSET)
    logging.captureWarnings(True)
    _collector(settings().otel_endpoint)


def _formatter() -> logging.Formatter:
    if settings().log_format == "text":
        return logging.Formatter(TEXT)
    from pythonjsonlogger.core import RESERVED_ATTRS
    from pythonjsonlogger.json import JsonFormatter

    names = {"levelname": "level", "name": "logger"}
    # Celery's and uvicorn's repetitions of the message.
    without = [*RESERVED_ATTRS, "data", "color_message"]
    return JsonFormatter(FIELDS, rename_fields=names, timestamp="time", reserved_attrs=without)


@contextmanager
def span(name: str, trace: str | None, **attributes: Any) -> Iterator[str | None]:
    """A span below the W3C traceparent `trace`; gives the traceparent of what happens in it.

    Without an endpoint nothing is recorded and the traceparent is passed on as it came.
    """
    tracer = _tracer(settings().otel_endpoint)
    if tracer is None:
        yield trace
        return
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    propagator = TraceContextTextMapPropagator()
    context = propagator.extract({"traceparent": trace} if trace else {})
    given = {key: value for key, value in attributes.items() if value is not None}
    with tracer.start_as_current_span(name, context=context, attributes=given):
        carrier: dict[str, str] = {}
        propagator.inject(carrier)
        yield carrier.get("traceparent", trace)


def rename(name: str, **attributes: Any) -> None:
    """Give the current span a better name, and more attributes."""
    if _tracer(settings().otel_endpoint) is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().update_name(name)
        get_current_span().set_attributes(attributes)


def flush() -> None:
    """Send the spans that wait; for processes that end. Takes some seconds when the collector is away."""
    if _provider.cache_info().currsize and (provider := _provider(settings().otel_endpoint)):
        provider.force_flush()


@lru_cache(1)
def _tracer(endpoint: str) -> Any:
    provider = _provider(endpoint)
    return provider.get_tracer("diracx") if provider else None


@lru_cache(1)
def _provider(endpoint: str) -> Any:
    collector = _collector(endpoint)
    return collector.provider(endpoint) if collector else None


def _collector(endpoint: str) -> Any:
    """The module that needs OpenTelemetry; None without an endpoint."""
    if not endpoint:
        return None
    try:
        from diracx_tasks.core import collector
    except ImportError as error:
        raise SettingsError(
            "DIRACX_OTEL_ENDPOINT needs OpenTelemetry: pip install 'diracx-celery[telemetry]'"
        ) from error
    return collector
