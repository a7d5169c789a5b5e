"""How far a pilot reaches: its own jobs while it has them, its own end, and files of the jobs' owner only."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.auth.tokens import User
from diracx_tasks.jobs.states import Status
from diracx_tasks.pilots import register
from tests.api.caller import ALICE, Api
from tests.api.changes import STATUS, a_stored_job, at, events, status_of, the
from tests.api.stores import installation, migrated
from tests.builders import HEX, VO, a_job, a_pilot, a_user

__all__ = ["installation", "migrated"]
PILOT = a_pilot()
LEGACY = replace(PILOT, pilot_stamp=None)
CAROL = a_user("carol", properties=(SERVICE,))
ENDED = ["Done", "Failed", "Aborted", "Deleted"]
OVER = [Status.DONE, Status.FAILED, Status.KILLED, Status.DELETED]


def a_registered_pilots_job(db: Session) -> tuple[str, int]:
    stamp = register.register(db, VO, site="LCG.CERN.ch", grid_type="SLURM")
    job_id = a_job(db, Status.RUNNING, pilot=stamp)
    db.commit()
    return stamp, job_id


def end(api: Api, *stamps: str, by: User, status: str = "Done") -> int:
    answer = api.patch("/api/pilots/metadata", {stamp: {"Status": status} for stamp in stamps}, by=by)
    return answer.status_code


def a_file(name: str, content: str = HEX) -> dict[str, Any]:
    """A file of somebody's in the store, as CWL has it."""
    location = f"sandbox:/S3/local/{VO}/user/{name}/sha256:{content}.file"
    return {"class": "File", "location": location, "basename": "x", "size": 3}


def a_sandbox(api: Api, content: str) -> str:
    checksum = hashlib.sha256(content.encode()).hexdigest()
    body = {"checksum_algorithm": "sha256", "checksum": checksum, "size": 9, "format": "tar.zst"}
    return str(api.post("/api/jobs/sandbox", body).json()["pfn"])


def sandboxes(api: Api, job_id: int) -> Any:
    return api.get(f"/api/jobs/{job_id}/sandbox").json()


def deeds(job_id: int) -> dict[str, tuple[str, str, Any]]:
    """What the pilot that has a job may do with it, past its reports."""
    return {
        "metadata": ("PATCH", "/api/jobs/metadata", {str(job_id): {"Site": "LCG.RAL.uk"}}),
        "reschedule": ("POST", "/api/jobs/reschedule", {"job_ids": [job_id]}),
        "unassign": ("POST", "/api/jobs/sandbox/unassign", {"job_ids": [job_id]}),
        "unassign one": ("DELETE", f"/api/jobs/{job_id}/sandbox", None),
    }


@pytest.mark.parametrize("status", ENDED)
def test_a_pilot_of_no_stamp_ends_no_jobs_of_another(api: Api, db: Session, status: str) -> None:
    stamp, job_id = a_registered_pilots_job(db)
    assert end(api, stamp, by=LEGACY, status=status) == 204
    job = the(api, job_id)
    assert (job["Status"], job["Attempt"]) == ("Running", 1)
    beat = api.patch("/api/jobs/heartbeat", {str(job_id): {"Attempt": 1}}, by=a_pilot(stamp))
    assert (beat.status_code, beat.json()) == (200, [])


def test_a_pilot_that_says_that_it_has_ended_gives_back_what_it_had(api: Api, db: Session) -> None:
    stamp, job_id = a_registered_pilots_job(db)
    assert end(api, stamp, by=a_pilot(stamp)) == 204
    assert (status_of(api, job_id), the(api, job_id)["Attempt"]) == ("Received", 2)


def test_a_pilot_with_a_stamp_ends_no_other(api: Api, db: Session) -> None:
    stamp, job_id = a_registered_pilots_job(db)
    assert end(api, stamp, by=PILOT) == 403
    assert status_of(api, job_id) == "Running"


def test_a_service_administrator_ends_any_pilots(api: Api, db: Session) -> None:
    made = [a_registered_pilots_job(db) for _ in range(2)]
    assert end(api, *(stamp for stamp, _ in made), by=CAROL) == 204
    assert [status_of(api, job_id) for _, job_id in made] == ["Received", "Received"]


@pytest.mark.parametrize("deed", deeds(0))
@pytest.mark.parametrize("status", OVER)
def test_when_its_attempt_is_over_a_pilot_does_nothing_more_with_the_job(
    api: Api, db: Session, status: Status, deed: str
) -> None:
    job_id, pfn = a_stored_job(db, status), a_sandbox(api, deed)
    assert api.patch(f"/api/jobs/{job_id}/sandbox/output", pfn).status_code == 200
    before = the(api, job_id), sandboxes(api, job_id)
    method, path, body = deeds(job_id)[deed]
    answer = api.ask(method, path, by=PILOT, json=body)
    words = {"detail": f"job {job_id} is not held by the pilot stamp-1"}
    assert (answer.status_code, answer.json()) == (403, words)
    assert (the(api, job_id), sandboxes(api, job_id)) == before


@pytest.mark.parametrize("deed", deeds(0))
def test_while_it_has_the_job_a_pilot_may(api: Api, db: Session, deed: str) -> None:
    job_id = a_stored_job(db)
    method, path, body = deeds(job_id)[deed]
    assert api.ask(method, path, by=PILOT, json=body).status_code in (200, 204)


OUTPUTS = {
    "a file": a_file("bob"),
    "one of several": [a_file("alice"), a_file("bob")],
    "one beside another": {**a_file("alice"), "secondaryFiles": [a_file("bob")]},
    "of another VO": {**a_file("alice"), "location": a_file("alice")["location"].replace(VO, "belle")},
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_of_a_report_with_anothers_files_nothing_is_applied(api: Api, db: Session, output: str) -> None:
    job_id, good = a_stored_job(db), a_stored_job(db)
    before = the(api, job_id), the(api, good), events(job_id), events(good)
    done = {"Status": "Done", "Attempt": 1}
    report = {
        str(good): {at(1): {**done, "Outputs": {}}},
        str(job_id): {
            at(1): {"Status": "Completing", "Attempt": 1},
            at(2): {**done, "Outputs": {"found": OUTPUTS[output]}},
        },
    }
    answer = api.patch(STATUS, report, by=PILOT)
    assert answer.status_code == 403, answer.text
    assert f"PFN must start with /S3/local/{VO}/user/alice/" in answer.json()["detail"]
    assert (the(api, job_id), the(api, good), events(job_id), events(good)) == before


def test_a_report_with_the_owners_own_files_is_good(api: Api, db: Session) -> None:
    job_id, outputs = a_stored_job(db), {"found": a_file(ALICE.name)}
    report = {str(job_id): {at(1): {"Status": "Done", "Attempt": 1, "Outputs": outputs}}}
    assert api.patch(STATUS, report, by=PILOT).status_code == 200
    assert (status_of(api, job_id), the(api, job_id)["Outputs"]) == ("Done", outputs)
