"""An OTLP/HTTP collector that keeps what it gets."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """What a test looks at of a span; `parent` is empty for the first of a trace."""

    name: str
    trace: str
    number: str
    parent: str
    subject: str | None


class Collector:
    """Listens on a free port while its block lasts; `status` is what it answers."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.requests = 0
        self.spans: list[Span] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """What DIRACX_OTEL_ENDPOINT is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def named(self, name: str) -> list[Span]:
        """The spans of a name so far."""
        return [span for span in list(self.spans) if span.name == name]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, path: str, body: bytes) -> int:
        """Keep what a request brings; the status to answer."""
        self.requests += 1
        assert path == "/v1/traces"
        request = ExportTraceServiceRequest.FromString(body)
        if self.status == 200:
            self.spans += _spans(request)
        return self.status

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(collector.take(self.path, body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        return Handler


def _spans(request: ExportTraceServiceRequest) -> Iterable[Span]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                given = {one.key: one.value.string_value for one in span.attributes}
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                yield Span(span.name, *ids, given.get("subject"))
