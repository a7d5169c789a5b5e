"""Log lines and traces: JSON lines with ids on request, spans over OTLP when an endpoint is stated."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.origin import origin
from diracx_tasks.core.settings import settings

FIELDS = "%(asctime)s %(levelname)s %(name)s %(message)s"
TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
# What a record gets of the task or request at work, where there is one.
IDS = ("task_id", "task", "subject", "by", "trace_id")


class Ids(logging.Filter):
    """Adds to each record what is at work: the task's id, name and subject, who asked, the trace."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass."""
        source = origin()
        found = {
            "task_id": source.parent,
            "by": source.by or None,
            "trace_id": source.trace.split("-")[1] if source.trace else None,
            **source.labels,
        }
        for name in IDS:
            if found.get(name) and not hasattr(record, name):
                setattr(record, name, found[name])
        return True


def set_up_logs(level: int | str | None = None) -> None:
    """Have this process log as the settings say, from `level` on if stated; harmless when repeated."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Ids())
    if settings().log_format == "json":
        from pythonjsonlogger.json import JsonFormatter

        names = {"asctime": "time", "levelname": "level", "name": "logger"}
        handler.setFormatter(JsonFormatter(FIELDS, rename_fields=names))
    else:
        handler.setFormatter(logging.Formatter(TEXT))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level or settings().log_level.upper())


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


def rename(name: str) -> None:
    """Give the current span a better name."""
    if _tracer(settings().otel_endpoint) is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().update_name(name)


def flush() -> None:
    """Send the spans that wait; for processes that end."""
    if _tracer.cache_info().currsize and settings().otel_endpoint:
        from opentelemetry import trace

        provider: Any = trace.get_tracer_provider()
        provider.force_flush(5000)


@lru_cache(1)
def _tracer(endpoint: str) -> Any:
    if not endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(
            "DIRACX_OTEL_ENDPOINT needs OpenTelemetry: pip install 'diracx-celery[telemetry]'"
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "diracx"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
    return provider.get_tracer("diracx")
