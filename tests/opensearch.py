"""A stand-in for OpenSearch over HTTP; what it imitates: `opensearch_cluster` and `opensearch_indexes`.

No server is to be had from a package index. With DIRACX_TEST_OPENSEARCH_URL the same tests use a real one,
but for those that need faults.
"""

import base64
import json
import os
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.opensearch_cluster import Cluster, Faults
from tests.opensearch_indexes import Failure
from tests.servers import free_port

# Read when tests are collected: installations for tests have no variables but their own.
REAL = os.environ.get("DIRACX_TEST_OPENSEARCH_URL", "")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A body that comes after its headers waits for an acknowledgement otherwise.
    disable_nagle_algorithm = True
    server: "_Http"

    def _serve(self) -> None:
        double = self.server.double
        faults = double.faults
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        time.sleep(faults.delay)
        if faults.drops:
            self.close_connection = True
            return
        try:
            self._refuse(size)
            url = urlsplit(self.path)
            query = dict(parse_qsl(url.query))
            status, content = double.cluster.answer(self.command, url.path, query, body)
        except Failure as failure:
            status, content = failure.status, failure.body()
        if faults.drops_after:
            self.close_connection = True
            return
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _refuse(self, size: int) -> None:
        double = self.server.double
        if double.faults.status:
            status = double.faults.status
            raise Failure(status, "cluster_manager_not_discovered_exception", "out of order")
        if size > double.faults.longest_body:
            raise Failure(413, "content_too_long_exception", f"a body of {size} bytes")
        if double.password:
            given = self.headers.get("Authorization", "")
            wanted = base64.b64encode(f"diracx:{double.password}".encode()).decode()
            if given != f"Basic {wanted}":
                raise Failure(401, "security_exception", "Unauthorized")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, double: "OpenSearchDouble") -> None:
        self.double = double
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that it can be cut."""
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The connection is over."""
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of our troubles."""


class OpenSearchDouble:
    """The stand-in on a port; it keeps what it holds when it is stopped and started again."""

    def __init__(self, password: str = "") -> None:
        self.cluster = Cluster()
        self.password = password
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._http: _Http | None = None

    @property
    def faults(self) -> Faults:
        """What is wrong with it now, to be changed."""
        return self.cluster.faults

    def start(self) -> None:
        """Serve; harmless when it does already."""
        if self._http is None:
            self._http = _Http(self.port, self)
            threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and cut those that there are."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            for connection in list(self._http.connections):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._http = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.stop()
