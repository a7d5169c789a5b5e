"""Pilots that ask for jobs and users who submit them, for `locust -f tests/bench/locust/locustfile.py`.

The environment says who they are; docs/measure-the-matcher.md lists it. Jobs and nodes are LHCb's.
"""

import base64
import itertools
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant, events, task
from locust.exception import StopUser

# Locust runs this file by its path, wherever it is.
sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.bench.lhcb import TaskQueue, task_queues
from tests.bench.nodes import description, nodes, slot

PILOT_TOKENS = Path(os.environ.get("LOCUST_PILOT_TOKENS", "pilot-tokens"))
USER_TOKEN = os.environ.get("LOCUST_USER_TOKEN", "")
JOBS_A_CALL = int(os.environ.get("LOCUST_JOBS_A_CALL", "1"))
JOBS_A_SUBMISSION = int(os.environ.get("LOCUST_JOBS_A_SUBMISSION", "100"))
SUBMITTERS_WAIT = float(os.environ.get("LOCUST_SUBMITTERS_WAIT", "1"))
IS_DIRAC = os.environ.get("LOCUST_DESCRIPTION", "") == "dirac"


class Pilot(FastHttpUser):
    """A pilot: it asks again as soon as it is answered, each time for another node of LHCb's sites."""

    weight = 8
    wait_time = constant(0)
    tokens: Iterator[str] = iter(())
    nodes: Iterator[dict[str, Any]] = itertools.cycle(nodes())

    def on_start(self) -> None:
        """Take a token of its own, and have the server know the pilot."""
        token = next(self.tokens, "")
        if not token:
            raise StopUser(f"{PILOT_TOKENS} has no token left: one is needed for each pilot")
        claims = _claims(token)
        self.headers = {"Authorization": f"Bearer {token}"}
        self.body = {"stamp": claims["pilot_stamp"], "count": JOBS_A_CALL}
        registration = {"pilot_stamp": claims["pilot_stamp"], "vo": claims["vo"]}
        asked = {"json": registration, "headers": self.headers, "catch_response": True}
        with self.client.post("/api/pilots/", **asked) as answer:
            # A pilot of an earlier run is known already.
            if answer.status_code == 409:
                answer.success()

    @task
    def match(self) -> None:
        """Ask for jobs; answers without one have a line of their own."""
        node = next(self.nodes)
        body = description(node) if IS_DIRAC else self.body | slot(node)
        asked = {"json": body, "headers": self.headers, "catch_response": True}
        with self.client.post("/api/pilots/match", **asked) as answer:
            if answer.status_code == 200 and not answer.json()["jobs"]:
                answer.request_meta["name"] = "/api/pilots/match (no job)"


class Submitter(FastHttpUser):
    """Somebody who submits jobs such as LHCb's, many at once."""

    weight = 1 if USER_TOKEN else 0
    wait_time = constant(SUBMITTERS_WAIT)
    chance = random.Random()
    queues: tuple[TaskQueue, ...] = tuple(task_queues())

    @task
    def submit(self) -> None:
        """Submit to a queue drawn by its size."""
        (queue,) = self.chance.choices(self.queues, [one.jobs for one in self.queues])
        headers = {"Authorization": f"Bearer {USER_TOKEN}"}
        self.client.post("/api/jobs/jdl", json=[_jdl(queue)] * JOBS_A_SUBMISSION, headers=headers)


@events.test_start.add_listener
def begin(**_: Any) -> None:
    """Each run gives the tokens out anew."""
    Pilot.tokens = iter(PILOT_TOKENS.read_text().split())


def _claims(token: str) -> dict[str, Any]:
    """What a token says of the pilot; the server looks whether it is true."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def _jdl(queue: TaskQueue) -> str:
    stated = {"Site": sorted(queue.sites), "BannedSites": sorted(queue.banned_sites)}
    stated["Platform"] = sorted(queue.platforms)
    lists = " ".join(f"{name} = {{{_listed(values)}}};" for name, values in stated.items() if values)
    return (
        'Executable = "/bin/true"; JobName = "locust"; StdOutput = "std.out"; StdError = "std.err";'
        f" CPUTime = {queue.cpu_time}; {lists}"
    )


def _listed(values: list[str]) -> str:
    return ", ".join(f'"{value}"' for value in values)
