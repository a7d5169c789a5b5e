"""Where spans go: an OTLP collector that may be away without anybody noticing but in the log."""

import logging
import time
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

log = logging.getLogger(__name__)
# The longest that a process which ends waits for the collector.
PATIENCE = 5.0
# A collector that has failed is left alone for so long; what comes meanwhile is dropped.
PAUSE = 30.0


class Collector(OTLPSpanExporter):
    """Sends spans; after a failure it drops them for a while instead of waiting again and again."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout=PATIENCE)
        self.url = url
        self.away_until = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, or drop it."""
        if time.monotonic() < self.away_until:
            return SpanExportResult.FAILURE
        found = super().export(spans)
        is_away, was_away = found is SpanExportResult.FAILURE, bool(self.away_until)
        if is_away and not was_away:
            log.warning("%s takes no spans: they are dropped until it does", self.url)
        elif was_away and not is_away:
            log.warning("%s takes spans again", self.url)
        self.away_until = time.monotonic() + PAUSE if is_away else 0.0
        return found


def provider(endpoint: str) -> TracerProvider:
    """What makes spans and sends them to an endpoint, in batches from a thread."""
    made = TracerProvider(resource=Resource.create({"service.name": "diracx"}))
    made.add_span_processor(BatchSpanProcessor(Collector(f"{endpoint.rstrip('/')}/v1/traces")))
    return made
