"""Pilots that only report: each asks for jobs, says that they run, live and end, and notes what it is told.

`python -m tests.bench.lifecycle_pilots ORDERS` runs many until there is a file `over`; it may be killed.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import orjson
import uvloop

from tests.bench.lhcb import Totals
from tests.bench.lifecycle_model import DONE, FAILED, MINOR_STEPS, Model
from tests.bench.load import Answer, Connection, Target
from tests.bench.population import VO

STATUS, BEAT, MATCH = "/api/jobs/status", "/api/jobs/heartbeat", "/api/pilots/match"
NUMBERS = {"LoadAverage": 1.02, "MemoryUsed": 1843.7, "Vsize": 2790.1, "CPUConsumed": 35.2}
# What a server that is away or in a crowd answers.
AWAY = (0, 502, 503)
LATE = (403, 404, 409)
PAUSE = 0.1
MOVE = 0.3
# A report in so many goes wrong in each of three ways.
ONE_IN = 8
OVER = "over"


@dataclass(frozen=True)
class Orders:
    """What pilots are told to do; `stamps` and `tokens` are theirs, `admin` is somebody who may kill jobs."""

    folder: str
    ledger: str
    url: str
    admin: str
    stamps: Sequence[str]
    tokens: Sequence[str]
    together: int
    model: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Put them into a file."""
        path.write_text(json.dumps(asdict(self)))


class Told:
    """What the server has acknowledged, one line each: an end, or something that it should have refused."""

    def __init__(self, path: Path) -> None:
        self._stream: TextIO = path.open("a")

    def note(self, *lines: str) -> None:
        """Write lines down, at once."""
        if lines:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()


@dataclass
class Lost:
    """An attempt whose pilot is lost, and who that was."""

    attempt: int
    target: Target


class Pilot:
    """One pilot with a connection of its own."""

    # What pilots of this process have lost, by job.
    lost: dict[int, Lost] = {}  # noqa: RUF012

    def __init__(self, number: int, orders: Orders, told: Told) -> None:
        self.target = Target(orders.url, orders.tokens[number])
        self._admin = Target(orders.url, orders.admin)
        self._stamp = orders.stamps[number]
        self._together = orders.together
        self._model = Model(**orders.model)
        self._connection = Connection(orders.url)
        self._chance = random.Random(self._stamp)
        self._told = told
        self._sites = _sites(self._chance)

    async def work(self, is_over: Callable[[], bool]) -> None:
        """Ask for jobs and report on them until `is_over`."""
        await self._ask("POST", "/api/pilots/", {"pilot_stamp": self._stamp, "vo": VO})
        while not is_over():
            jobs, pause = await self._match()
            if jobs:
                await self._run(jobs)
            else:
                # The next time it is another site's, which need not wait because this one has no jobs.
                await asyncio.sleep(min(pause, MOVE) * (0.5 + self._chance.random() / 2))

    async def _match(self) -> tuple[dict[int, int], float]:
        """The jobs that it gets, with their attempts; and if there are none when to ask again, in s."""
        slot: dict[str, Any] = {"stamp": self._stamp, "site": next(self._sites), "name": self._stamp}
        slot |= {"cores": 64, "ram_mb": 256_000, "count": self._together, "in_turn": True}
        slot |= {"platform": "x86_64_v4-any", "tags": ["payload:jdl"]}
        answer = await self._ask("POST", MATCH, slot)
        if answer.status != 200:
            return {}, PAUSE
        found = orjson.loads(answer.content)
        return {one["job_id"]: one["attempt"] for one in found["jobs"]}, found["retry_after"]

    async def _run(self, jobs: dict[int, int]) -> None:
        """The lives of some jobs from their match to their end, or as far as the pilot comes with each."""
        await self._speak_of_the_lost(jobs)
        jobs = self._but_lost(jobs, "Matched")
        await self._report(self._states(jobs, "Running", "Application"))
        jobs = self._but_lost(jobs, "Running")
        await self._kill(jobs)
        jobs = await self._beat(jobs)
        jobs = self._but_lost(jobs, "Beaten")
        await self._steps(jobs)
        jobs = self._but_lost(jobs, "Application")
        await self._end(jobs)

    def _but_lost(self, jobs: dict[int, int], stage: str) -> dict[int, int]:
        gone = {job: attempt for job, attempt in jobs.items() if self._model.loses(job, attempt) == stage}
        for job_id, attempt in gone.items():
            self.lost[job_id] = Lost(attempt, self.target)
        return {job: attempt for job, attempt in jobs.items() if job not in gone}

    async def _speak_of_the_lost(self, jobs: Mapping[int, int]) -> None:
        """Pilots that were taken to be lost say that their attempts, which are over, have ended otherwise."""
        before = {
            job: self.lost[job] for job in jobs if job in self.lost and self.lost[job].attempt < jobs[job]
        }
        told: dict[Target, dict[str, Any]] = {}
        for job_id, one in before.items():
            del self.lost[job_id]
            other = FAILED if self._model.fate(job_id).status == "Done" else DONE
            told.setdefault(one.target, {})[str(job_id)] = {_now(): _state(one.attempt, *other)}
        for target, body in told.items():
            answer = await self._ask("PATCH", STATUS, body, target)
            if answer.status not in LATE and (len(body) == 1 or orjson.loads(answer.content)["success"]):
                self._told.note(f"wrong: these attempts are over: {sorted(body)}, they ended: {answer}")

    async def _kill(self, jobs: Mapping[int, int]) -> None:
        """Users kill some of the jobs, in the attempt that would come to its end."""
        for job_id, attempt in jobs.items():
            if self._model.fate(job_id).status == "Killed" and not self._model.loses(job_id, attempt):
                await self._ask("POST", f"/api/jobs/{job_id}/kill", None, self._admin)

    async def _beat(self, jobs: dict[int, int]) -> dict[int, int]:
        """Heartbeats: those that the pilot must not kill. What it is told once it is told again."""
        body = {str(job): {"Attempt": attempt, **NUMBERS} for job, attempt in jobs.items()}
        if not body:
            return {}
        answer = await self._report(body, BEAT, may_miss=False)
        orders = orjson.loads(answer.content) if answer.status == 200 else []
        stopped = {one["job_id"] for one in orders if one["command"] == "Kill"}
        return {job: attempt for job, attempt in jobs.items() if job not in stopped}

    async def _steps(self, jobs: Mapping[int, int]) -> None:
        """Minor statuses with their times, as DIRAC's wrapper sends them; faults bring the first one last."""
        begun = datetime.now(UTC)
        words = [
            {
                "Status": "Running",
                "MinorStatus": "Application",
                "ApplicationStatus": step,
                "Source": "JobWrapper",
            }
            for step in MINOR_STEPS
        ]
        stated = {_text(begun + timedelta(milliseconds=n)): one for n, one in enumerate(words)}
        if not self._model.faults:
            await self._report({str(job): stated for job in jobs})
            return
        for moment, one in sorted(stated.items(), reverse=self._chance.random() < 0.5):
            await self._report({str(job): {moment: one} for job in jobs})

    async def _end(self, jobs: Mapping[int, int]) -> None:
        """The ends, until they are acknowledged, or refused because the attempt is over."""
        body = {}
        for job_id, attempt in jobs.items():
            fate = self._model.fate(job_id)
            end = FAILED if fate[:2] == FAILED else DONE
            cpu = self._model.cpu_seconds(job_id, attempt)
            use = {"cpu_seconds": cpu, "wall_seconds": cpu + 1, "memory_mb": 1800.0, "disk_mb": 20.0}
            body[str(job_id)] = {_now(): {**_state(attempt, *end), "Use": use}}
        if not body:
            return
        answer = await self._report(body, may_miss=False)
        if answer.status != 200:
            return
        done = orjson.loads(answer.content)["success"]
        self._told.note(*(f"{job} {jobs[int(job)]} {one['Status']}" for job, one in done.items()))

    def _states(self, jobs: Mapping[int, int], status: str, minor: str) -> dict[str, Any]:
        return {str(job): {_now(): _state(attempt, status, minor)} for job, attempt in jobs.items()}

    async def _report(self, body: dict[str, Any], path: str = STATUS, *, may_miss: bool = True) -> Answer:
        """Send reports; faults lose them, lose the answer, or bring them twice.

        One of them that is refused spoils all: then each is sent alone.
        """
        if not body:
            return Answer(200, b"{}")
        if self._model.faults:
            if may_miss and not self._chance.randrange(ONE_IN):
                return Answer(200, b"{}")
            if not self._chance.randrange(ONE_IN):
                await self._lose_answer(path, body)
            if not self._chance.randrange(ONE_IN):
                await self._ask("PATCH", path, body)
        answer = await self._ask("PATCH", path, body)
        if answer.status == 403 and len(body) > 1:
            for job_id, one in body.items():
                await self._ask("PATCH", path, {job_id: one})
        return answer

    async def _lose_answer(self, path: str, body: object) -> None:
        """Send a request and go away before its answer is there."""
        own = Connection(self.target.url)
        sent = asyncio.ensure_future(own.ask(self.target.request("PATCH", path, body)))
        await asyncio.wait([sent], timeout=self._chance.random() * 0.02)
        sent.cancel()
        own.close()

    async def _ask(self, method: str, path: str, body: object, target: Target | None = None) -> Answer:
        """The answer, asking again while the server is away."""
        request = (target or self.target).request(method, path, body)
        while True:
            answer = await self._connection.ask(request)
            if answer.status not in AWAY:
                if answer.status >= 400 and answer.status not in LATE:
                    self._told.note(f"wrong: {method} {path}: {answer}".replace("\n", " "))
                return answer
            await asyncio.sleep(PAUSE)


def _state(attempt: int, status: str, minor: str) -> dict[str, Any]:
    return {"Status": status, "MinorStatus": minor, "Source": "JobWrapper", "Attempt": attempt}


def _sites(chance: random.Random) -> Iterator[str]:
    """LHCb's sites for ever: by their jobs and in turns, so that also the smallest is asked for."""
    totals = Totals().sites
    each = itertools.cycle(chance.sample(list(totals), len(totals)))
    weights = [one.jobs for one in totals.values()]
    while True:
        yield chance.choices(list(totals), weights)[0]
        yield next(each)


def _now() -> str:
    return _text(datetime.now(UTC))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def work(orders: Orders) -> None:
    """Run all pilots until there is a file `over`."""
    over, told = Path(orders.folder) / OVER, Told(Path(orders.ledger))
    looked = [0.0, False]

    def is_over() -> bool:
        if time.monotonic() > looked[0] + PAUSE:
            looked[:] = [time.monotonic(), over.exists()]
        return bool(looked[1])

    async def every() -> None:
        pilots = [Pilot(number, orders, told) for number in range(len(orders.stamps))]
        await asyncio.gather(*(one.work(is_over) for one in pilots))

    uvloop.run(every())


if __name__ == "__main__":
    work(Orders(**json.loads(Path(sys.argv[1]).read_text())))
