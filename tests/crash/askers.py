"""Processes that ask for jobs as pilots do, and write down what they got; any of them may be killed."""

import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from diracx_tasks.core.errors import Unavailable
from diracx_tasks.matching.match import match
from diracx_tasks.matching.node import Node
from tests.builders import VO

AT_ONCE = 5
NODE = {"site": "CERN", "ce": "ce1", "cores": 2 * AT_ONCE, "ram_mb": 256_000}
PAUSE = 0.05


def ask(stamp: str, folder: Path, environment: dict[str, str]) -> None:
    """Match jobs, as an API process does, until there is a file `over`."""
    os.environ.update(environment)
    node = Node("CERN", ce="ce1", name=stamp, cores=2 * AT_ONCE, ram_mb=256_000)
    with (folder / f"{stamp}.ledger").open("a") as ledger:
        while not (folder / "over").exists():
            try:
                found = match(VO, node, stamp=stamp, count=AT_ONCE).jobs
            except (Unavailable, SQLAlchemyError):
                found = []
            ledger.writelines(f"{one.job_id} {one.work.attempt}\n" for one in found)
            ledger.flush()
            if not found:
                time.sleep(PAUSE)


def ask_api(stamp: str, folder: Path, url: str, token: str) -> None:
    """Ask an API that may be away, until there is a file `over`."""
    body = json.dumps({**NODE, "stamp": stamp, "count": AT_ONCE}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with (folder / f"{stamp}.ledger").open("a") as ledger:
        while not (folder / "over").exists():
            request = urllib.request.Request(f"{url}/api/pilots/match", body, headers)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    found = json.load(answer)["jobs"]
            except (OSError, ValueError, urllib.error.URLError):
                found = []
            ledger.writelines(f"{one['job_id']} {one['attempt']}\n" for one in found)
            ledger.flush()
            if not found:
                time.sleep(PAUSE)


def given(folder: Path) -> dict[str, list[tuple[int, int]]]:
    """Each stamp's jobs with their attempts; the last line of one that was killed may not be whole."""
    found = {}
    for file in folder.glob("*.ledger"):
        lines = [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
        pairs = [line.split() for line in lines]
        found[file.stem] = [(int(job), int(attempt)) for job, attempt in pairs]
    return found
