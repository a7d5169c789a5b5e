"""Whole lives of 500 jobs on a Slurm with two partitions, while each part of it fails once."""

import getpass
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.servers import MariaDB, Redis, Slurm
from tests.system import System, wait_for

pytestmark = [pytest.mark.crash, pytest.mark.integration, pytest.mark.timeout(600)]
JOBS = int(os.environ.get("SLURM_JOBS", "500"))
AWAY_SECONDS = float(os.environ.get("SLURM_AWAY_SECONDS", "20"))
SHORT, LONG = 4, 12
JDL = """\
Executable = "/bin/sh";
Arguments = "-c 'sleep 1; echo $JOBID >> {ledger}'";
CPUTime = 60;
Parameters = {jobs};
"""
CONFIGURATION = """\
Registry:
  lhcb:
    DefaultGroup: user
    Users: {{"{user}": {{PreferedUsername: "{user}"}}}}
    Groups:
      user: {{Properties: [NormalUser], Users: ["{user}"]}}
      admin: {{Properties: [NormalUser, JobAdministrator, ServiceAdministrator], Users: ["{user}"]}}
Resources:
  Sites:
    LCG:
      LCG.Slurm.test:
        CEs:
          hpc:
            CEType: Slurm
            SharedArea: {folder}
            Preamble: export SLURM_CONF={settings}
            MaxRAM: 1000
            Queues:
              short: {{MaxTotalJobs: {short}, MaxWaitingJobs: {short}, maxWallClockTime: 10}}
              long: {{MaxTotalJobs: {long}, MaxWaitingJobs: {long}, maxWallClockTime: 30}}
"""


@dataclass
class Grid:
    """The system, the cluster that its pilots run on, and the numbers of jobs that payloads have written."""

    system: System
    slurm: Slurm
    ledger: Path

    def runs(self) -> Counter[int]:
        """How often each job ran to its end."""
        return Counter(map(int, self.ledger.read_text().split())) if self.ledger.exists() else Counter()

    def has_run(self, least: int) -> bool:
        """Whether so many jobs have run to their end."""
        return len(self.runs()) >= least

    def pilots(self) -> list[dict[str, Any]]:
        """All pilots that the system knows."""
        body: dict[str, Any] = {"search": []}
        found: list[dict[str, Any]] = self.system.patient(
            lambda: self.system.client.post("/api/pilots/search", body, page=1, per_page=10000)
        )
        return found

    def stamps(self, *states: str) -> set[str]:
        """The names of the batch jobs that Slurm has or had."""
        said = self.slurm.client("sacct", "--allusers", "-Xn", "--format=JobName%40", *states)
        return set(said.split())

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs."""
        body: dict[str, Any] = {"search": []}
        found: list[dict[str, Any]] = self.system.patient(
            lambda: self.system.client.post("/api/jobs/search", body, page=1, per_page=10000)
        )
        return found


@pytest.fixture
def grid(tmp_path: Path, mariadb: MariaDB) -> Iterator[Grid]:
    """A system that runs no pilots of its own."""
    cluster = Slurm(tmp_path / "slurm", mariadb, short=SHORT)
    with MariaDB(tmp_path / "mariadb") as database, Redis(tmp_path / "redis") as redis, cluster as slurm:
        configuration = tmp_path / "configuration.yml"
        where = {
            "folder": tmp_path / "area",
            "settings": slurm.settings,
            "user": getpass.getuser(),
        }
        configuration.write_text(CONFIGURATION.format(**where, short=SHORT, long=LONG))
        environment = {
            "DIRACX_DATABASE_URL": database.url,
            "DIRACX_REDIS_URL": redis.url,
            "DIRACX_CONFIG_BACKEND_URL": str(configuration),
            "DIRACX_VO": "lhcb",
        }
        with System(tmp_path / "data", environment, "--slots=0") as system:
            yield Grid(system, slurm, tmp_path / "ledger")
            slurm.client("scancel", "--user", getpass.getuser())


def a_node_is_drained(grid: Grid) -> None:
    node = ("scontrol", "update", "NodeName=node1")
    grid.slurm.client(*node, "State=DRAIN", "Reason=test")
    time.sleep(3)
    grid.slurm.client(*node, "State=RESUME")


def the_controller_is_killed(grid: Grid) -> None:
    grid.slurm.kill()
    time.sleep(5)
    grid.slurm.start()


def a_pilot_is_killed(grid: Grid) -> None:
    running = [one for one in grid.pilots() if one["Status"] == "Running" and one["CurrentJobID"]]
    stamp = running[0]["PilotStamp"]
    for process in psutil.process_iter():
        try:
            if process.environ().get("SLURM_JOB_NAME") == stamp:
                process.kill()
        except psutil.Error:
            continue


def the_api_is_away(grid: Grid) -> None:
    pids = grid.system.pids("api")
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in pids:
            os.kill(pid, number)
        if number is signal.SIGSTOP:
            time.sleep(AWAY_SECONDS)


FAULTS: list[Callable[[Grid], None]] = [
    a_node_is_drained,
    the_controller_is_killed,
    a_pilot_is_killed,
    the_api_is_away,
]


def test_all_jobs_end_well_and_no_pilot_is_unknown_or_one_too_many(grid: Grid) -> None:
    jdl = JDL.format(ledger=grid.ledger, jobs=JOBS)
    assert len(grid.system.client.post("/api/jobs/jdl", [jdl])) == JOBS
    for number, fault in enumerate(FAULTS, start=1):
        wait_for(partial(grid.has_run, number * JOBS // 6), 240, lambda: grid.system.log[-6000:])
        fault(grid)
    jobs: list[dict[str, Any]] = []

    def are_over() -> bool:
        jobs[:] = grid.jobs()
        return Counter(job["Status"] for job in jobs) == {"Done": JOBS}

    wait_for(are_over, 240, lambda: f"{Counter(job['Status'] for job in jobs)}\n{grid.system.log[-6000:]}")
    runs = grid.runs()
    assert set(runs) == {job["JobID"] for job in jobs}
    assert runs.total() <= sum(job["Attempt"] for job in jobs)
    pilots = grid.pilots()
    known = {one["PilotStamp"] for one in pilots}
    assert grid.stamps() <= known
    idle = [one for one in pilots if not one["InitialJobID"] and one["Status"] != "Deleted"]
    assert len(idle) <= 0.1 * (len(pilots) - len(idle)), pilots
