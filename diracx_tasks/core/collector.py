"""Where spans go: an OTLP collector that may be away without anybody noticing but in the log."""

import time
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

# The longest that a process which ends waits for the collector.
PATIENCE = 5.0
# A collector that has failed is left alone for so long; what comes meanwhile is dropped.
PAUSE = 30.0


class Collector(OTLPSpanExporter):
    """Sends spans; after a failure it drops them for a while instead of waiting again and again."""

    away_until = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, or drop it."""
        if time.monotonic() < self.away_until:
            return SpanExportResult.FAILURE
        found = super().export(spans)
        if found is SpanExportResult.FAILURE:
            self.away_until = time.monotonic() + PAUSE
        return found


def provider(endpoint: str) -> TracerProvider:
    """What makes spans and sends them to an endpoint, in batches from a thread."""
    made = TracerProvider(resource=Resource.create({"service.name": "diracx"}))
    collector = Collector(f"{endpoint.rstrip('/')}/v1/traces", timeout=PATIENCE)
    made.add_span_processor(BatchSpanProcessor(collector))
    return made
