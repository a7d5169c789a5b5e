"""What is asked of a server of DiracX's API: nothing but what the official contract states.

Each operation is prepared on one server: what it asks depends on the jobs there. What it prepared makes the
bytes of request after request.
"""

import itertools
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import orjson

from tests.bench.load import Answer, Maker, Target, ask

JDL = """Executable = "/bin/sh"; Arguments = "run.sh --first-event 1000"; JobName = "simulation";
JobGroup = "production"; JobType = "User"; CPUTime = 3600; StdOutput = "std.out"; StdError = "std.err";
OutputSandbox = {"std.out", "std.err", "summary.xml"}; Site = "LCG.CERN.ch"; Priority = 5;"""
# DiracX takes at most so many jobs a call.
CONTRACT_BULK = 20
BULK = 1000
PAGE = 100
# What statuses and heartbeats go round: more than a server answers for in a second, or has at work at once.
RUNNING = 30_000
FEWEST_RUNNING = 10_000
PER_PAGE = 10_000


class Refused(Exception):
    """A server did not do what an operation needs before it can be measured."""


@dataclass(frozen=True)
class Prepared:
    """What makes the requests, and of how many items one is."""

    make: Maker
    items: int = 1


@dataclass(frozen=True)
class Operation:
    """One row of the table; `aims` are the items a second that ours must reach at so many connections."""

    name: str
    connections: tuple[int, ...]
    prepare: Callable[["Contents"], Prepared]
    expected: frozenset[int] = frozenset({200})
    # Looks at an answer and the number of items more closely than there is time for under load.
    holds: Callable[[Any, int], bool] = lambda answer, items: bool(answer)
    aims: dict[int, float] = field(default_factory=dict)

    def wrong(self, answer: Answer) -> str:
        """What is wrong with an answer's status; empty when it is the expected one."""
        return "" if answer.status in self.expected else str(answer)

    def wrong_within(self, answer: Answer, items: int) -> str:
        """What is wrong with an answer's status or content."""
        complaint = self.wrong(answer)
        if complaint or not answer.content or self.holds(orjson.loads(answer.content), items):
            return complaint
        return f"not what was asked for: {answer}"


@dataclass
class Contents:
    """The jobs of one server, looked up when an operation needs them."""

    target: Target

    @cached_property
    def total(self) -> int:
        """How many jobs there are."""
        body = {"parameters": ["JobID"]}
        answer = self._asked("POST", f"{SEARCH}?page=1&per_page=1", body, 200, 206)
        return int((answer.header("content-range") or f"/{len(orjson.loads(answer.content))}").split("/")[1])

    @cached_property
    def bulk(self) -> int:
        """How many JDLs a call may hold: a thousand, or the contract's twenty."""
        request = self.target.request("POST", "/api/jobs/jdl", [JDL] * BULK)
        return BULK if ask(self.target, request).status == 201 else CONTRACT_BULK

    @cached_property
    def running(self) -> list[int]:
        """Jobs that run: those that are there, and as many of our own as are missing."""
        found = self._found([{"parameter": "Status", "operator": "eq", "value": "Running"}])
        while len(found) < FEWEST_RUNNING:
            answer = self._asked("POST", "/api/jobs/jdl", [JDL] * self.bulk, 201)
            made = [job["JobID"] for job in orjson.loads(answer.content)]
            change = {now(): {"Status": "Running", "Source": "JobWrapper"}}
            body = {str(job): change for job in made}
            self._asked("PATCH", "/api/jobs/status?force=true", body, 200)
            found += made
        return found

    @cached_property
    def around(self) -> Iterator[int]:
        """The jobs that run, in no order, for ever: who comes next has been left alone the longest."""
        return itertools.cycle(random.Random(1).sample(self.running, len(self.running)))

    @cached_property
    def etag(self) -> str:
        """The configuration's version."""
        return self._asked("GET", "/api/config/", None, 200).header("etag")

    def _found(self, search: list[dict[str, str]]) -> list[int]:
        found: list[int] = []
        sort = [{"parameter": "JobID", "direction": "asc"}]
        for page in range(1, RUNNING // PER_PAGE + 1):
            path = f"{SEARCH}?page={page}&per_page={PER_PAGE}"
            body = {"parameters": ["JobID"], "search": search, "sort": sort}
            answer = self._asked("POST", path, body, 200, 206, 416)
            found += [job["JobID"] for job in orjson.loads(answer.content)]
            if answer.status != 206:
                break
        return found

    def _asked(self, method: str, path: str, body: object, *expected: int) -> Answer:
        answer = ask(self.target, self.target.request(method, path, body))
        if answer.status not in expected:
            raise Refused(f"{method} {path}: {answer}")
        return answer


def now() -> str:
    """This moment in UTC, as statuses are stamped."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def submit(count: int | None) -> Callable[[Contents], Prepared]:
    """So many JDLs a call, None: as many as the server takes."""

    def prepare(contents: Contents) -> Prepared:
        jdls = [JDL] * (count or contents.bulk)

        def make() -> bytes:
            # The official client gives every request an id of its own.
            own = str(uuid.uuid1())
            return contents.target.request("POST", "/api/jobs/jdl", jdls, x_ms_client_request_id=own)

        return Prepared(make, len(jdls))

    return prepare


def status(count: int) -> Callable[[Contents], Prepared]:
    """A change of the application's status of so many jobs a call."""

    def prepare(contents: Contents) -> Prepared:
        jobs, events = contents.around, itertools.count()

        def make() -> bytes:
            words = {"Status": "Running", "MinorStatus": "Application", "Source": "JobWrapper"}
            change = {now(): words | {"ApplicationStatus": f"Events processed: {next(events)}"}}
            body = {str(job): change for job in itertools.islice(jobs, count)}
            return contents.target.request("PATCH", "/api/jobs/status", body)

        return Prepared(make, count)

    return prepare


def heartbeat(count: int) -> Callable[[Contents], Prepared]:
    """The six numbers of so many jobs a call; a job's turn comes again after all others'."""

    def prepare(contents: Contents) -> Prepared:
        jobs = contents.around
        numbers = {"LoadAverage": 1.02, "MemoryUsed": 1843.7, "Vsize": 2790.1, "AvailableDiskSpace": 18400.5}
        numbers |= {"CPUConsumed": 3540.2, "WallClockTime": 3600.8}

        def make() -> bytes:
            body = {str(job): numbers for job in itertools.islice(jobs, count)}
            return contents.target.request("PATCH", "/api/jobs/heartbeat", body)

        return Prepared(make, count)

    return prepare


def search(*, page: float = 0.0, **stated: Any) -> Callable[[Contents], Prepared]:
    """A page of a search: the first, or the one after so great a part of all."""

    def prepare(contents: Contents) -> Prepared:
        path = f"{SEARCH}?page={1 + int(page * contents.total / PAGE)}&per_page={PAGE}"
        return Prepared(_always(contents.target.request("POST", path, stated)))

    return prepare


def search_one(contents: Contents) -> Prepared:
    """A search for one job after another, all columns."""
    jobs = contents.around

    def make() -> bytes:
        only = {"parameter": "JobID", "operator": "eq", "value": next(jobs)}
        return contents.target.request("POST", f"{SEARCH}?page=1&per_page={PAGE}", {"search": [only]})

    return Prepared(make)


def ever_new(path: str, **stated: Any) -> Callable[[Contents], Prepared]:
    """A question that nobody has asked before, about nearly all jobs: no answer to it can be remembered."""

    def prepare(contents: Contents) -> Prepared:
        numbers = itertools.count()

        def make() -> bytes:
            after = {"parameter": "JobID", "operator": "gt", "value": next(numbers) % 10_000}
            return contents.target.request("POST", path, {**stated, "search": [after]})

        return Prepared(make)

    return prepare


def ask_for(method: str, path: str, body: object = None, **headers: str) -> Callable[[Contents], Prepared]:
    """The same request again and again; the header `If_None_Match="etag"` is filled in."""

    def prepare(contents: Contents) -> Prepared:
        stated = {name: contents.etag if value == "etag" else value for name, value in headers.items()}
        return Prepared(_always(contents.target.request(method, path, body, **stated)))

    return prepare


def _always(request: bytes) -> Maker:
    return lambda: request


def _is_page(rows: Any, items: int) -> bool:
    return len(rows) == PAGE


def _has_history(rows: Any, items: int) -> bool:
    return len(rows) == PAGE and all(row["LoggingInfo"] for row in rows)


def _succeeded(answer: Any, items: int) -> bool:
    return len(answer["success"]) == items and all(
        job["ApplicationStatus"] for job in answer["success"].values()
    )


def _are_all(jobs: Any, items: int) -> bool:
    return len({job["JobID"] for job in jobs}) == items


def _anything(commands: Any, items: int) -> bool:
    return isinstance(commands, list)


CREATED = frozenset({201})
SEARCH = "/api/jobs/search"
SUMMARY = "/api/jobs/summary"
CONFIG = "/api/config/"
# A token with a signature that is none of this server's.
FORGED = "Bearer eyJhbGciOiJFZDI1NTE5IiwidHlwIjoiSldUIn0.eyJzdWIiOiJsaGNiOm1hbGxvcnkifQ." + "A" * 86
FOUND = frozenset({200, 206})
COLUMNS = ["JobID", "Status", "MinorStatus", "Site"]
IS_RUNNING = [{"parameter": "Status", "operator": "eq", "value": "Running"}]
NEWEST = [{"parameter": "JobID", "direction": "desc"}]
OPERATIONS = (
    Operation("search, page of 100", (1, 8, 32), search(), FOUND, _is_page, {8: 300}),
    Operation(
        "search, Running, 4 columns", (8,), search(parameters=COLUMNS, search=IS_RUNNING), FOUND, _is_page
    ),
    Operation("search, one job", (8,), search_one, holds=lambda rows, _: len(rows) == 1),
    Operation("search, ever new", (8,), ever_new(f"{SEARCH}?page=1&per_page={PAGE}"), FOUND, _is_page),
    Operation("search, newest, at 90 %", (8,), search(page=0.9, sort=NEWEST), FOUND, _is_page),
    Operation("search, with LoggingInfo", (8,), search(parameters=["LoggingInfo"]), FOUND, _has_history),
    Operation("summary of 1 column", (8,), ask_for("POST", SUMMARY, {"grouping": ["Status"]}), aims={8: 300}),
    Operation("summary, ever new", (8,), ever_new(SUMMARY, grouping=["Status"])),
    Operation("summary of 3 columns", (8,), ask_for("POST", SUMMARY, {"grouping": COLUMNS[1:]})),
    Operation("configuration", (8,), ask_for("GET", CONFIG)),
    Operation("configuration, known", (8,), ask_for("GET", CONFIG, If_None_Match="etag"), frozenset({304})),
    Operation("userinfo", (8,), ask_for("GET", "/api/auth/userinfo")),
    Operation("health/live", (1, 8, 32), ask_for("GET", "/api/health/live", Authorization="")),
    Operation("a rejected token", (8,), ask_for("GET", CONFIG, Authorization=FORGED), frozenset({401})),
    Operation("submit 1 JDL", (1, 8, 32), submit(1), CREATED, _are_all, {8: 600}),
    Operation("heartbeat, 1 job", (1, 8, 32), heartbeat(1), holds=_anything, aims={8: 600}),
    Operation("status, 1 job", (1, 8, 32), status(1), holds=_succeeded, aims={8: 500}),
    Operation("heartbeat, 100 a call", (1, 8), heartbeat(100), holds=_anything, aims={8: 15_000}),
    Operation("submit in bulk", (1, 8), submit(None), CREATED, _are_all, {8: 10_000}),
    Operation("status, 1000 a call", (1, 8), status(1000), holds=_succeeded, aims={8: 20_000}),
)
