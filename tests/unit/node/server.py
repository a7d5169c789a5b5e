"""A small HTTP server that speaks the pilots' routes and stores files, for tests of the pilot alone."""

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import ThreadingHTTPServer
from typing import Any

from diracx_tasks.cwl.bundle import Bundle
from tests.unit.node.archives import packed, unpacked
from tests.unit.node.over_http import Handler

STORE = "sandbox:/S3/bucket/vo/group/owner"
GUID = "5F9C2A7E-0D3B-4C0A-9B7E-2F1A6E8D4C31"
FINAL = ("Done", "Failed", "Killed")


@dataclass
class Server:
    """What the pilot sees of a server; tests put jobs in and read what the pilot has sent."""

    bundles: dict[str, Bundle] = field(default_factory=dict)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    store: dict[str, bytes] = field(default_factory=dict)
    states: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    heartbeats: list[dict[str, Any]] = field(default_factory=list)
    released: list[dict[str, Any]] = field(default_factory=list)
    offers: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    registered: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    logs: list[dict[str, Any]] = field(default_factory=list)
    words: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    to_kill: set[int] = field(default_factory=set)
    late: set[int] = field(default_factory=set)
    token: str = "secret"
    before_match: Callable[[], object] = lambda: None
    is_away: bool = False
    is_deaf: bool = False
    breaks_outputs: bool = False
    # So many downloads end in their middle.
    breaks: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def a_job(
        self,
        bundle: Bundle,
        path: str = "",
        *,
        job_id: int = 1,
        owner: str = "alice",
        needs: dict[str, int] | None = None,
        **inputs: Any,
    ) -> int:
        """A waiting job for one process of a bundle, which gets `needs` of a node."""
        self.bundles[bundle.hash] = bundle
        payload = {
            "kind": "cwl",
            "bundle": bundle.hash,
            "entrypoint": bundle.entrypoint,
            "path": path,
            "inputs": inputs,
        }
        return self._waits(job_id, owner, payload, needs)

    def a_jdl_job(
        self,
        executable: str,
        arguments: str = "",
        *,
        job_id: int = 1,
        needs: dict[str, int] | None = None,
        **stated: Any,
    ) -> int:
        """A waiting job described in JDL."""
        payload = {
            "kind": "jdl",
            "executable": executable,
            "arguments": arguments,
            "environment": {},
            "stdout": "std.out",
            "stderr": "std.err",
            "input_data": [],
            "input_sandbox": [],
            "cpu_seconds": 86400,
            **stated,
        }
        return self._waits(job_id, "alice", payload, needs)

    def a_script(self, lines: str, *, job_id: int = 1, **stated: Any) -> int:
        """A waiting job that runs lines of shell out of its input sandbox, and keeps what it says."""
        sandbox = self.a_sandbox({"run.sh": f"#!/bin/sh\n{lines}\n".encode()})
        kept = ["std.out", "std.err", *stated.pop("output_sandbox", [])]
        more = [sandbox, *stated.pop("input_sandbox", [])]
        return self.a_jdl_job(
            "run.sh", job_id=job_id, input_sandbox=more, **{"output_sandbox": kept, **stated}
        )

    def a_sandbox(self, files: dict[str, bytes]) -> str:
        """The name in a description of an archive with these files, which is in the store."""
        content = packed(files)
        location = location_of(content, "tar.bz2")
        self.store[location] = content
        return f"SB:SandboxSE|{location.removeprefix('sandbox:')}"

    def sandbox(self) -> dict[str, bytes]:
        """The files of the one output sandbox that was stored and registered."""
        (name,) = [one for body in self.registered for one in body["sandboxes"]]
        return unpacked(self.store[name])

    def _waits(
        self, job_id: int, owner: str, payload: dict[str, Any], needs: dict[str, int] | None = None
    ) -> int:
        self.waiting.append(
            {
                "job_id": job_id,
                "attempt": 1,
                "owner": owner,
                "group": "user",
                "vo": "lhcb",
                "cores": 1,
                "ram_mb": 256,
                "gpus": 0,
                "scratch_mb": 0,
                **(needs or {}),
                "heartbeat_seconds": 0.5,
                "payload": payload,
            }
        )
        return job_id

    def stored(self, content: bytes, basename: str, **more: Any) -> dict[str, Any]:
        """A File of the store with this content."""
        location = location_of(content)
        self.store[location] = content
        return {"class": "File", "location": location, "basename": basename, "size": len(content), **more}

    def content(self, file: dict[str, Any]) -> bytes:
        """What the store has under a File of the outputs."""
        return self.store[file["location"]]

    def last(self, job_id: int = 1) -> dict[str, Any]:
        """The last state that the pilot has reported; empty before the first."""
        return (self.states.get(job_id) or [{}])[-1]

    def ended(self, job_id: int = 1) -> dict[str, Any]:
        """The final state, once it has been reported."""
        wait_for(lambda: self.last(job_id).get("Status") in FINAL)
        return self.last(job_id)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and JSON of the answer to one of the pilots' routes."""
        self.requests.append(f"{method} {path}")
        if self.is_away:
            return 503, {"detail": "away"}
        if path == "/api/pilots/match":
            self.before_match()
            self.offers.append(body)
            return 200, {"jobs": self._matched(body), "retry_after": 0.1}
        own: dict[str, Callable[[dict[str, Any]], tuple[int, Any]]] = {
            "/api/jobs/heartbeat": self._heartbeat,
            "/api/jobs/status": self._status,
            "/api/jobs/metadata": self._metadata,
            "/api/pilots/metadata": partial(self._of_pilot, self.words),
            "/api/pilots/log": partial(self._of_pilot, self.logs),
        }
        if path in own:
            return own[path](body)
        if found := re.fullmatch(r"/api/workflows/bundles/(\w+)", path):
            return 200, self.bundles[found[1]].to_json()
        if found := re.fullmatch(r"/api/pilots/jobs/(\d+)/(\w+)", path):
            return self._for_job(int(found[1]), found[2], body)
        return 404, {"detail": "no such route"}

    def _matched(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The next jobs, as far as their cores are free; in turn each may have them all."""
        given: list[dict[str, Any]] = []
        left = body["cores"]
        while self.waiting and len(given) < body["count"] and self.waiting[0]["cores"] <= left:
            given.append(self.waiting.pop(0))
            left -= 0 if body["in_turn"] else given[-1]["cores"]
        return given

    def _of_pilot(self, kept: list[dict[str, Any]], body: dict[str, Any]) -> tuple[int, Any]:
        if self.is_deaf:
            return 500, {"detail": "the store is full"}
        kept.append(body)
        return 204, None

    def _heartbeat(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.heartbeats.append(body)
        ids = [int(job) for job in body]
        return 200, [
            {"job_id": job, "command": "Kill", "arguments": ""} for job in ids if job in self.to_kill
        ]

    def _metadata(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.facts |= {name: value for found in body.values() for name, value in found.items()}
        return 204, None

    def _status(self, body: dict[str, Any]) -> tuple[int, Any]:
        failed = {}
        for job, changes in body.items():
            if int(job) in self.late:
                failed[job] = {"detail": f"job {job} is on a later attempt"}
                if len(body) == 1:
                    return 409, failed[job]
                continue
            if self.breaks_outputs and any("Outputs" in change for change in changes.values()):
                return 413, {"detail": "outputs too large"}
            self.states.setdefault(int(job), []).extend(changes[at] for at in sorted(changes))
        return 200, {"success": {job: {} for job in body if job not in failed}, "failed": failed}

    def _for_job(self, job_id: int, what: str, body: Any) -> tuple[int, Any]:
        if what == "downloads":
            return 200, [self._address(one) for one in body["locations"]]
        if what == "uploads":
            return 200, [self._grant(file) for file in body["files"]]
        if what == "files":
            self.registered.append(body)
            return 204, None
        self.released.append({"job_id": job_id, **body})
        return 200, {}

    def _address(self, location: str) -> dict[str, Any]:
        found = {"location": location, "url": f"{self.url}/store?{location}"}
        return found | ({"guid": GUID} if location.startswith("lfn:") else {})

    def _grant(self, file: dict[str, Any]) -> dict[str, Any]:
        if lfn := file.get("lfn"):
            key = f"lfn:{lfn}"
            return {
                "pfn": key,
                "location": key,
                "se": "SE-TEST",
                "url": f"{self.url}/store",
                "fields": {"key": key},
            }
        location = f"{STORE}/sha256:{file['checksum']}.{file.get('format', 'file')}"
        url = None if location in self.store else f"{self.url}/store"
        return {
            "pfn": f"SB:SandboxSE|{location}",
            "location": location,
            "url": url,
            "fields": {"key": location},
        }


def location_of(content: bytes, kind: str = "file") -> str:
    """The store's name for a content."""
    return f"{STORE}/sha256:{hashlib.sha256(content).hexdigest()}.{kind}"


def wait_for(is_so: Callable[[], Any], seconds: float = 20) -> None:
    """Return when it is so; AssertionError if it does not become so."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


@contextmanager
def running() -> Iterator[Server]:
    """A server that listens while the block lasts."""
    server = Server()

    class Mine(Handler):
        state = server

    http = ThreadingHTTPServer(("127.0.0.1", 0), Mine)
    http.daemon_threads = True
    server.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
