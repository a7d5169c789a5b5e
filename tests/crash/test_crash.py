"""Parts are killed while 200 jobs run: the workflow ends as if nothing had happened."""

import time
from pathlib import Path

import pytest

from diracx_tasks.core.client import Client
from tests.crash import workload
from tests.crash.conftest import Place
from tests.system import while_running

pytestmark = [pytest.mark.crash, pytest.mark.integration, pytest.mark.timeout(400)]
FAULTS = 3


def ends_well(place: Place, workflow_id: int, ledger: Path) -> None:
    """The outputs are those of the undisturbed run, and no attempt of a job was run twice."""
    ended = place.system.wait(workflow_id, 240)
    assert ended["status"] == "Done", ended["reason"]
    assert workload.plain(ended["outputs"]) == place.undisturbed
    jobs = place.system.jobs(workflow_id)
    assert len(jobs) == workload.JOBS
    assert {job["Status"] for job in jobs} == {"Done"}
    runs = workload.runs(ledger)
    # Each attempt runs its tool to the end at most once.
    assert workload.JOBS <= runs.total() <= sum(job["Attempt"] for job in jobs)
    for job in jobs:
        history = place.system.client.get(f"/api/jobs/{job['JobID']}/history")
        assert [event["Status"] for event in history].count("Done") == 1


@pytest.mark.parametrize("part", ["worker", "api", "beat", "pilot", "factory"])
def test_killing_a_part_again_and_again_changes_nothing(place: Place, part: str) -> None:
    workflow_id, ledger = place.run(f"kill-{part}")
    for _ in while_running(place.system, workflow_id, least=2, most=FAULTS):
        assert place.system.kill(part), f"no {part} was running"
    ends_well(place, workflow_id, ledger)


def test_flushing_redis_again_and_again_changes_nothing(place: Place) -> None:
    workflow_id, ledger = place.run("flush")
    for _ in while_running(place.system, workflow_id, least=2, most=FAULTS):
        place.redis.flush()
    ends_well(place, workflow_id, ledger)


def test_killing_redis_changes_nothing(place: Place) -> None:
    workflow_id, ledger = place.run("kill-redis")
    for _ in while_running(place.system, workflow_id, least=2, most=2):
        place.redis.kill()
        time.sleep(2)
        place.redis.start()
    ends_well(place, workflow_id, ledger)


def test_killing_the_database_changes_nothing(place: Place) -> None:
    workflow_id, ledger = place.run("kill-mariadb")
    for _ in while_running(place.system, workflow_id, least=2, most=2):
        place.mariadb.kill()
        time.sleep(2)
        place.mariadb.start()
    ends_well(place, workflow_id, ledger)


def test_no_acknowledged_submission_is_lost_when_the_api_is_killed(place: Place) -> None:
    tool = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\ninputs: []\noutputs: []\n"
    acknowledged = []
    for number in range(30):
        if number % 10 == 5:
            assert place.system.kill("api")
        acknowledged.append(place.system.submit({"workflow.cwl": tool}, {}))
    assert len(set(acknowledged)) == 30
    ends = [place.system.wait(workflow_id)["status"] for workflow_id in acknowledged]
    assert ends == ["Done"] * 30


def test_a_stopped_system_goes_on_where_it_was(place: Place) -> None:
    workflow_id, ledger = place.run("stopped")
    for _ in while_running(place.system, workflow_id, least=1, most=2):
        place.system.stop()
        place.system.start()
    ends_well(place, workflow_id, ledger)


def test_the_system_gives_tokens_only_to_its_user(place: Place) -> None:
    file = place.system.folder / "client.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert isinstance(place.system.client, Client)
