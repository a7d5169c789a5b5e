"""The main job from submission to outputs, with real processes: embedded, and on production's servers."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from diracx_tasks.auth import rights
from diracx_tasks.auth.keys import create
from diracx_tasks.cli.demo import shipped
from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import Unreachable
from tests.servers import MariaDB, RabbitMQ, Redis, Rgw, free_port
from tests.system import FINAL, System, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
PI = shipped() / "examples" / "pi"
EXPECTED = json.loads((PI / "expected.json").read_text())
QUEUES = [
    f"{priority}.{size}"
    for priority in ("realtime", "normal", "background")
    for size in ("small", "medium", "large")
]


def diracx(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line as a user or operator types it."""
    return subprocess.run(
        [sys.executable, "-m", "diracx_tasks.cli", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def submit_pi(environment: dict[str, str], folder: Path) -> None:
    """Submit the example, watch it end well, download its outputs and compare them."""
    done = diracx(
        environment, "workflows", "submit", str(PI / "workflow.cwl"), str(PI / "inputs.yaml"), "-o", "id"
    )
    assert done.returncode == 0, done.stderr
    workflow_id = done.stdout.split()[0]
    watched = diracx(environment, "workflows", "watch", workflow_id)
    assert watched.returncode == 0, watched.stdout + watched.stderr
    fetched = diracx(environment, "workflows", "outputs", workflow_id, "--download", str(folder))
    assert fetched.returncode == 0, fetched.stderr
    outputs = json.loads(fetched.stdout)
    assert outputs["pi"] == pytest.approx(EXPECTED["pi"])
    assert outputs["result"]["checksum"] == EXPECTED["result"]["checksum"]
    assert Path(outputs["histogram"]["path"]).read_bytes().startswith(b"\x89PNG")


def test_the_example_runs_on_embedded_defaults(tmp_path: Path) -> None:
    with System(tmp_path / "data") as system:
        submit_pi({"DIRACX_DATA": str(system.folder)}, tmp_path / "outputs")
        checked = diracx({"DIRACX_DATA": str(system.folder)}, "admin", "check", "-o", "json")
        assert checked.returncode == 0, checked.stdout
        for arguments in (("schedule",), ("queues",), ("list",), ("show", "workflow-1.advance")):
            shown = diracx({"DIRACX_DATA": str(system.folder)}, "tasks", *arguments, "-o", "table")
            assert shown.returncode == 0, shown.stderr


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system that runs one job at a time; tests may stop and kill it, and leave it running."""
    stated = {"DIRACX_STALLED_SECONDS": "1"}
    with System(tmp_path_factory.mktemp("small") / "data", stated, "--slots", "1") as system:
        yield system


def test_a_system_that_was_stopped_still_has_everything(small: System) -> None:
    tool = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [sleep, '1']\ninputs: []\noutputs: []\n"
    ids = [small.submit({"workflow.cwl": tool}, {}) for _ in range(6)]
    small.stop()
    small.start()
    assert [small.wait(workflow_id)["status"] for workflow_id in ids] == ["Done"] * 6


class Production:
    """The operators' own commands with nothing but environment variables."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> None:
        """Run a program of this Python environment in the background."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        self.processes.append(process)

    def stop(self) -> None:
        """TERM, last started first."""
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    @property
    def log(self) -> str:
        """The end of what they printed."""
        return (self.folder / "log").read_text()[-6000:]


@contextmanager
def production(folder: Path) -> Iterator[Production]:
    """MariaDB, Redis, RabbitMQ and Ceph's S3, and on them API, worker, beat, Flower and pilots."""
    with ExitStack() as stack:
        mariadb = stack.enter_context(MariaDB(folder / "mariadb"))
        redis = stack.enter_context(Redis(folder / "redis"))
        rabbitmq = stack.enter_context(RabbitMQ(folder / "rabbitmq"))
        rgw = stack.enter_context(Rgw(folder / "rgw"))
        keys = folder / "jwks.json"
        create(keys)
        port = free_port()
        environment = {
            "DIRACX_DATABASE_URL": mariadb.url,
            "DIRACX_REDIS_URL": redis.url,
            "DIRACX_BROKER_URL": rabbitmq.url,
            "DIRACX_S3_ENDPOINT": rgw.endpoint,
            "DIRACX_S3_BUCKET": rgw.bucket,
            "DIRACX_S3_ACCESS_KEY": rgw.access_key,
            "DIRACX_S3_SECRET_KEY": rgw.secret_key,
            "DIRACX_S3_REGION": rgw.region,
            "DIRACX_TOKEN_KEYS": str(keys),
            "DIRACX_URL": f"http://127.0.0.1:{port}",
            "DIRACX_DATA": str(folder / "nothing-is-kept-here"),
            "DIRACX_HEARTBEAT_SECONDS": "2",
        }
        servers = Production(folder, environment)
        before = diracx(environment, "admin", "check", "-o", "json")
        assert before.returncode == 1
        assert "diracx admin migrate" in before.stdout
        migrated = diracx(environment, "admin", "migrate")
        assert migrated.returncode == 0, migrated.stderr
        after = diracx(environment, "admin", "check", "-o", "json")
        assert after.returncode == 0, after.stdout
        servers.start("uvicorn", "--factory", "diracx_api.app:create_app", f"--port={port}")
        servers.start(
            "celery", "-A", "diracx_tasks", "worker", "-Q", ",".join(QUEUES), "-c", "2", "-n", "one@%h"
        )
        servers.start("celery", "-A", "diracx_tasks", "beat", "--pidfile=")
        servers.start(
            "celery", "-A", "diracx_tasks", "flower", f"--port={free_port()}", "--address=127.0.0.1"
        )
        servers.start("diracx_tasks.pilots.local", "2", "2000", "DIRAC.Test.here", str(folder))
        try:
            yield servers
        finally:
            servers.stop()


def token(environment: dict[str, str]) -> str:
    """A token for a user, made by the operator's keys."""
    program = (
        "from diracx_tasks.auth.tokens import User, issue\n"
        f"print(issue(User('alice', 'user', 'local', 'alice', frozenset({{'{rights.USER}'}})), seconds=3600))"
    )
    command = [sys.executable, "-c", program]
    return subprocess.check_output(command, env={**os.environ, **environment}, text=True).strip()


def test_the_example_runs_on_mariadb_redis_rabbitmq_and_s3_with_the_operators_commands(
    tmp_path: Path,
) -> None:
    with production(tmp_path) as servers:
        environment = {**servers.environment, "DIRACX_TOKEN": token(servers.environment)}
        client = Client(environment["DIRACX_URL"], environment["DIRACX_TOKEN"])
        wait_for(lambda: answers(client), 60, lambda: servers.log)
        submit_pi(environment, tmp_path / "outputs")
        inspected = subprocess.run(
            [sys.executable, "-m", "celery", "-A", "diracx_tasks", "inspect", "active", "--timeout=5"],
            env={**os.environ, **servers.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert inspected.returncode == 0, inspected.stdout + inspected.stderr
        assert "1 node online" in inspected.stdout
        for arguments in (("tasks", "schedule"), ("tasks", "queues"), ("tasks", "list")):
            shown = diracx(servers.environment, *arguments, "-o", "json")
            assert shown.returncode == 0, shown.stderr
            assert json.loads(shown.stdout)


def answers(client: Client) -> bool:
    """Whether the API is up."""
    try:
        return bool(client.get("/api/health/ready"))
    except Unreachable:
        return False


def test_a_job_whose_pilot_is_killed_is_rescheduled_and_ends_well(small: System) -> None:
    tool = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [sleep, '4']\ninputs: []\noutputs: []\n"
    workflow_id = small.submit({"workflow.cwl": tool}, {})
    runs(small, workflow_id)
    assert small.kill("pilot") == 1
    assert small.wait(workflow_id)["status"] == "Done"
    (job,) = small.jobs(workflow_id)
    assert job["Attempt"] == 2
    assert "Rescheduled" in history(small, job["JobID"])


def test_a_job_whose_factory_and_pilot_are_killed_is_noticed_by_its_missed_heartbeats(small: System) -> None:
    tool = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [sleep, '5']\ninputs: []\noutputs: []\n"
    workflow_id = small.submit({"workflow.cwl": tool}, {})
    runs(small, workflow_id)
    (job,) = small.jobs(workflow_id)
    # The stopped process cannot beat, and nobody learns that it ended.
    for pid in [*small.pids("factory"), *small.pids("pilot")]:
        os.kill(pid, signal.SIGSTOP)
    wait_for(
        lambda: {"Stalled", "Rescheduled"} <= set(history(small, job["JobID"])),
        60,
        lambda: f"{history(small, job['JobID'])}\n{small.log[-3000:]}",
    )
    for pid in [*small.pids("factory"), *small.pids("pilot")]:
        os.kill(pid, signal.SIGCONT)
    assert small.wait(workflow_id)["status"] == "Done"


def test_a_killed_workflow_stops_its_payloads(small: System) -> None:
    tool = (
        "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [sleep, '600.25']\ninputs: []\noutputs: []\n"
    )
    workflow_id = small.submit({"workflow.cwl": tool}, {})
    wait_for(lambda: payloads() == 1, 60, lambda: small.log)
    small.client.post(f"/api/workflows/{workflow_id}/kill")
    assert small.wait(workflow_id)["status"] == "Killed"
    wait_for(lambda: payloads() == 0, 60, lambda: small.log)
    assert {job["Status"] for job in small.jobs(workflow_id)} == {"Killed"}
    assert small.workflow(workflow_id)["status"] in FINAL


def payloads() -> int:
    """How many of this test's payloads run on this machine."""
    listed = subprocess.run(["pgrep", "-cfx", "sleep 600.25"], capture_output=True, text=True, check=False)
    return int(listed.stdout or 0)


def runs(system: System, workflow_id: int) -> None:
    """Wait until a job of a workflow runs."""
    wait_for(
        lambda: any(job["Status"] == "Running" for job in system.jobs(workflow_id)), 60, lambda: system.log
    )


def history(system: System, job_id: int) -> list[str]:
    """The states that a job has been in."""
    return [event["Status"] for event in system.client.get(f"/api/jobs/{job_id}/history")]


def test_the_system_starts_again_at_once_after_it_was_killed(small: System) -> None:
    assert small.process is not None
    small.process.kill()
    small.process.wait()
    time.sleep(0.5)
    small.start()
    tool = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\ninputs: []\noutputs: []\n"
    assert small.wait(small.submit({"workflow.cwl": tool}, {}))["status"] == "Done"
