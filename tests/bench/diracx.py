"""The real DiracX 0.7.0 as peer of `python -m tests.bench api`.

Its server is what `pip install diracx-routers==0.7.0` gives, in a virtual environment of its own, with tables
made by its own `python -m diracx.db init-sql`. OpenSearch and S3 are a stand-in that says yes to everything:
the server looks for its bucket when it starts, and no measured operation needs either.
"""

import base64
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from tests.bench.installations import Api, Database, configuration, fill
from tests.bench.peer import environment_with

REQUIREMENT = "diracx-routers==0.7.0"
PREFIX = "peer_"
DATABASES = (
    "AuthDB",
    "JobDB",
    "JobLoggingDB",
    "PilotAgentsDB",
    "ResourceStatusDB",
    "SandboxMetadataDB",
    "TaskQueueDB",
)
LONGEST = 120


class DiracX(Api):
    """DiracX's API."""

    factory = "diracx.routers.factory:create_app"
    title = "DiracX 0.7.0"


class StandIn(BaseHTTPRequestHandler):
    """An OpenSearch that takes every document, and an S3 that has every bucket."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Say yes."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b'{"acknowledged": true, "result": "updated", "errors": false, "items": []}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@contextmanager
def diracx(folder: Path, mariadb: Database, jobs: int, *, cache: Path | None = None) -> Iterator[DiracX]:
    """DiracX's API, running, with so many jobs in its own databases of this MariaDB.

    The virtual environment is made on the first call and stays in `cache`.
    """
    home = environment_with(REQUIREMENT, (cache or Path.home() / ".cache" / "diracx-bench").resolve())
    with _stand_in() as other:
        stated = _databases(mariadb) | _services(folder, other)
        made = DiracX(folder, home / "bin" / "python", stated)
        stated["DIRACX_SERVICE_AUTH_TOKEN_ISSUER"] = made.url
        stated["DIRACX_SERVICE_AUTH_TOKEN_KEYSTORE"] = (folder / "keys" / "jwks.json").read_text()
        command = [str(home / "bin" / "python"), "-m", "diracx.db", "init-sql"]
        subprocess.run(command, cwd=folder, env=made.environment(), check=True, timeout=LONGEST)
        fill(mariadb, jobs, prefix=PREFIX)
        with made:
            yield made


def _databases(mariadb: Database) -> dict[str, str]:
    """Make its databases; answers the settings that name them."""
    engine = create_engine(mariadb.url)
    with engine.connect() as db:
        for name in DATABASES:
            db.execute(text(f"CREATE DATABASE {PREFIX}{name} CHARACTER SET utf8mb4"))
    engine.dispose()
    urls = {name: make_url(mariadb.url_of(f"{PREFIX}{name}")) for name in DATABASES}
    return {
        f"DIRACX_DB_URL_{name.upper()}": url.set(drivername="mysql+aiomysql").render_as_string(False)
        for name, url in urls.items()
    }


def _services(folder: Path, other: str) -> dict[str, str]:
    bucket = {"endpoint_url": other, "aws_access_key_id": "bench", "aws_secret_access_key": "bench"}
    return {
        "DIRACX_CONFIG_BACKEND_URL": configuration(folder),
        "DIRACX_OS_DB_JOBPARAMETERSDB": json.dumps({"hosts": [other]}),
        "DIRACX_SANDBOX_STORE_BUCKET_NAME": "sandboxes",
        "DIRACX_SANDBOX_STORE_S3_CLIENT_KWARGS": json.dumps(bucket),
        "DIRACX_SERVICE_AUTH_STATE_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
    }


@contextmanager
def _stand_in() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
