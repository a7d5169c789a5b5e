"""What attempts say that they have used, and what is made of it for each step of a workflow."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.jobs import control
from diracx_tasks.jobs.optimize import optimize
from diracx_tasks.jobs.states import Status
from diracx_tasks.workflows.tables import Node
from tests.api.caller import Api
from tests.api.changes import at
from tests.api.stores import installation, migrated
from tests.builders import a_job, a_pilot, a_workflow, claim

__all__ = ["installation", "migrated"]
USE = {"cpu_seconds": 12.5, "wall_seconds": 13.0, "memory_mb": 512.0, "disk_mb": 20.5}
ASKED = {"cores": 2, "ram_mb": 256, "wall_time": 7200, "io": {"scratch_mb": 2048}}
TWO_STEPS = """cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}}
inputs: {words: {type: 'string[]'}}
outputs: []
steps:
  simulate:
    scatter: word
    in: {word: words}
    out: []
    run: {class: CommandLineTool, baseCommand: echo, inputs: {word: string}, outputs: []}
  outer:
    scatter: word
    in: {word: words}
    out: []
    run:
      class: Workflow
      inputs: {word: string}
      outputs: []
      steps:
        inner:
          in: {word: word}
          out: []
          run: {class: CommandLineTool, baseCommand: echo, inputs: {word: string}, outputs: []}
"""


def a_running(db: Session, workflow_id: int, name: str, **requirements: Any) -> int:
    stated: dict[str, Any] = {"requirements": requirements} if requirements else {}
    stated |= {"job_group": f"{workflow_id:08d}", "owner_id": workflow_id}
    job_id = a_job(db, Status.RUNNING, name=name, **stated)
    db.commit()
    return job_id


def reports(api: Api, job_id: int, *, attempt: int = 1, pilot: str = "stamp-1", **sent: Any) -> Any:
    first = {"Status": "Running", "Attempt": attempt}
    last = {"Status": "Done", "Attempt": attempt, "Outputs": {}, "StandardOutput": f"{job_id}\n", **sent}
    return api.patch("/api/jobs/status", {str(job_id): {at(1): first, at(2): last}}, by=a_pilot(pilot))


def resources(api: Api, workflow_id: int) -> dict[str, dict[str, Any]]:
    answer = api.get(f"/api/workflows/{workflow_id}/resources")
    assert answer.status_code == 200, answer.text
    return {step["path"]: step for step in answer.json()["steps"]}


def test_an_attempt_tells_once_what_it_has_used(api: Api, db: Session) -> None:
    job_id = a_running(db, 1, "job")
    for _ in range(2):
        assert reports(api, job_id, Use=USE).status_code == 200
    (attempt,) = api.get(f"/api/jobs/{job_id}").json()["Attempts"]
    assert attempt["use"] == USE


def test_each_attempt_keeps_its_own(api: Api, db: Session) -> None:
    job_id = a_running(db, 1, "job")
    assert control.reschedule(db, job_id, attempt=1, reason="lost", source="Test") == "applied"
    optimize(db)
    db.commit()
    assert claim(db, job_id, pilot="stamp-2") == 2
    db.commit()
    assert reports(api, job_id, Use=USE).status_code == 409
    assert reports(api, job_id, attempt=2, pilot="stamp-2", Use={**USE, "memory_mb": 1.0}).status_code == 200
    first, second = api.get(f"/api/jobs/{job_id}").json()["Attempts"]
    assert (first["use"], second["use"]["memory_mb"]) == (None, 1.0)


@pytest.mark.parametrize(
    "wrong", [{"cpu_seconds": 1}, {**USE, "memory_mb": -1}, {**USE, "disk_mb": 1e13}, {**USE, "gpu": 1}, 7]
)
def test_what_cannot_be_is_refused(api: Api, db: Session, wrong: Any) -> None:
    job_id = a_running(db, 1, "job")
    assert reports(api, job_id, Use=wrong).status_code == 422
    assert api.get(f"/api/jobs/{job_id}").json()["Status"] == "Running"


def test_a_step_has_what_was_asked_beside_what_was_used(api: Api, db: Session) -> None:
    found = a_workflow(db, text=TWO_STEPS, words=["a", "b", "c"])
    db.commit()
    number = found.workflow_id
    memory = (200.0, 300.0, 700.0)
    for used in memory:
        job_id = a_running(db, number, "simulate", **ASKED)
        reports(api, job_id, Use={**USE, "memory_mb": used, "wall_seconds": 10.0, "cpu_seconds": 5.0})
    a_running(db, number, "simulate", **{**ASKED, "ram_mb": 512})
    a_running(db, number + 1, "simulate", **ASKED)
    a_job(db, Status.RUNNING, owner="bob", name="simulate", job_group=f"{number:08d}")
    db.commit()
    steps = resources(api, number)
    assert list(steps) == ["simulate", "outer/inner"]
    simulate = steps["simulate"]
    assert (simulate["jobs"], simulate["measured"]) == (4, 3)
    assert simulate["asked"]["ram_mb"] == {"least": 256, "most": 512}
    assert simulate["asked"]["scratch_mb"] == {"least": 2048, "most": 2048}
    assert simulate["used"]["memory_mb"] == pytest.approx({"least": 200, "mean": 400, "most": 700})
    assert simulate["efficiency"] == pytest.approx(0.25)
    assert simulate["remarks"] == [
        "memory: 700 MB used where 256 MB were asked for: ask for more",
        "disk: at most 20 MB of 2048 MB used: with less it would find a place sooner",
        "CPU: 0.5 of 2 cores busy: ask for fewer",
        "time: at most 10 s of 2 h used: ask for less",
    ]
    inner = steps["outer/inner"]
    assert (inner["jobs"], inner["measured"], inner["used"]["memory_mb"]) == (0, 0, None)


def test_logs_of_jobs_have_their_place_in_all_scatters(api: Api, db: Session) -> None:
    found = a_workflow(db, text=TWO_STEPS, words=["a", "b", "c"])
    number = found.workflow_id
    job_id = a_running(db, number, "outer/inner")
    stated: dict[str, Any] = {"workflow_id": number, "status": "Running"}
    root = Node(**stated, parent_id=0, path="", kind="workflow", slot=7)
    db.add(root)
    db.flush()
    scatter = Node(**stated, parent_id=root.node_id, path="outer", kind="scatter")
    db.add(scatter)
    db.flush()
    instance = Node(**stated, parent_id=scatter.node_id, path="outer", kind="workflow", slot=2)
    db.add(instance)
    db.flush()
    db.add(Node(**stated, parent_id=instance.node_id, path="outer/inner", kind="tool", job_id=job_id))
    db.commit()
    reports(api, job_id)
    (log,) = api.get(f"/api/workflows/{number}/logs", params={"step": "outer/inner"}).json()["outputs"]
    assert (log["place"], log["step"], log["slot"]) == ("outer[2]/inner", "outer/inner", None)
    assert (log["text"], log["final"], log["status"]) == (f"{job_id}\n", True, "Done")
    assert api.get(f"/api/workflows/{number}/logs", params={"step": "outer"}).status_code == 404


def test_of_many_logs_those_of_failed_and_of_running_jobs_come_first(api: Api, db: Session) -> None:
    found = a_workflow(db)
    number = found.workflow_id
    done = [a_running(db, number, "workflow.cwl") for _ in range(3)]
    failed, running = a_running(db, number, "workflow.cwl"), a_running(db, number, "workflow.cwl")
    for job_id in done:
        reports(api, job_id)
    reports(api, failed, Status="Failed")
    answer = api.get(f"/api/workflows/{number}/logs", params={"limit": 3}).json()
    assert [one["job_id"] for one in answer["outputs"]] == [failed, running, done[-1]]
    one = api.get(f"/api/workflows/{number}/logs", params={"job": done[0]}).json()["outputs"]
    assert [log["job_id"] for log in one] == [done[0]]
