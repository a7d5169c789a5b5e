"""The sandboxes of jobs: assigned, listed, taken away; of one's own and of nobody else."""

import hashlib
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import reading
from diracx_tasks.jobs.states import Status
from diracx_tasks.sandboxes.tables import Sandbox
from tests.api.caller import ALICE, Api
from tests.api.changes import a_stored_job
from tests.api.stores import installation, migrated
from tests.builders import a_pilot, a_user, an_administrator

__all__ = ["installation", "migrated"]


def a_sandbox(api: Api, content: str = "x", *, by: User = ALICE) -> str:
    """The PFN of an announced sandbox, without its storage element."""
    checksum = hashlib.sha256(content.encode()).hexdigest()
    body = {"checksum_algorithm": "sha256", "checksum": checksum, "size": 9, "format": "tar.zst"}
    answer = api.post("/api/jobs/sandbox", body, by=by)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["pfn"]).removeprefix("SB:SandboxSE|")


def assign(api: Api, job_id: int, pfn: Any, **options: Any) -> Any:
    return api.patch(f"/api/jobs/{job_id}/sandbox/output", pfn, **options)


def of(api: Api, job_id: int, **options: Any) -> Any:
    answer = api.get(f"/api/jobs/{job_id}/sandbox", **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def is_assigned(pfn: str) -> bool:
    with reading() as db:
        return bool(db.scalars(select(Sandbox.is_assigned).where(Sandbox.pfn == pfn)).one())


def test_a_sandbox_is_assigned_listed_and_taken_away(api: Api, db: Session) -> None:
    job_id, pfn = a_stored_job(db), a_sandbox(api)
    assert of(api, job_id) == {"Input": [], "Output": []}
    answer = assign(api, job_id, f"SB:SandboxSE|{pfn}")
    assert (answer.status_code, answer.json()) == (200, None)
    assert of(api, job_id) == {"Input": [], "Output": [pfn]}
    assert api.get(f"/api/jobs/{job_id}/sandbox/output").json() == [pfn]
    assert api.get(f"/api/jobs/{job_id}/sandbox/input").json() == []
    assert is_assigned(pfn)
    answer = api.ask("DELETE", f"/api/jobs/{job_id}/sandbox")
    assert (answer.status_code, answer.json()) == (200, None)
    assert of(api, job_id) == {"Input": [], "Output": []}
    assert not is_assigned(pfn)


def test_the_official_client_sends_the_pfn_as_it_is(api: Api, db: Session) -> None:
    job_id, pfn = a_stored_job(db), a_sandbox(api)
    headers = {"Content-Type": "application/json"}
    path = f"/api/jobs/{job_id}/sandbox/output"
    assert api.ask("PATCH", path, content=f"SB:SandboxSE|{pfn}", headers=headers).status_code == 200
    assert of(api, job_id)["Output"] == [pfn]


def test_a_sandbox_is_not_assigned_twice_and_one_that_is_unknown_not_at_all(api: Api, db: Session) -> None:
    job_id, pfn = a_stored_job(db), a_sandbox(api)
    assert assign(api, job_id, pfn).status_code == 200
    again = assign(api, job_id, pfn)
    assert (again.status_code, again.json()) == (400, {"detail": "Sandbox already assigned"})
    unknown = assign(api, job_id, pfn[: -len(".tar.zst") - 64] + "0" * 64 + ".tar.zst")
    assert (unknown.status_code, unknown.json()) == (400, {"detail": "Sandbox not found"})


def test_a_sandbox_of_several_jobs_is_kept_until_the_last_one_lets_go(api: Api, db: Session) -> None:
    jobs, pfn, alone = [a_stored_job(db) for _ in range(3)], a_sandbox(api), a_sandbox(api, "alone")
    for job_id in jobs:
        assert assign(api, job_id, pfn).status_code == 200
    assert assign(api, jobs[0], alone).status_code == 200
    answer = api.post("/api/jobs/sandbox/unassign", {"job_ids": [*jobs[:2], 4711]})
    assert (answer.status_code, answer.content) == (204, b"")
    assert (is_assigned(pfn), is_assigned(alone)) == (True, False)
    assert of(api, jobs[2])["Output"] == [pfn]
    api.ask("DELETE", f"/api/jobs/{jobs[2]}/sandbox")
    assert not is_assigned(pfn)


@pytest.mark.parametrize(
    "body", [b"", b"7", b"[]", b'""', b"{}", b"null", b"\xff", b"x" * 600, b'"/etc/passwd"']
)
def test_what_is_no_pfn_is_the_askers_fault(api: Api, db: Session, body: bytes) -> None:
    path = f"/api/jobs/{a_stored_job(db)}/sandbox/output"
    assert api.ask("PATCH", path, content=body).status_code in (400, 422)


def test_nobody_gives_a_job_the_sandbox_of_another_user(api: Api, db: Session) -> None:
    job_id, bob = a_stored_job(db), a_user("bob")
    for owner in (bob, a_user(vo="belle"), a_user(group="other")):
        assert assign(api, job_id, a_sandbox(api, by=owner)).status_code == 403
    assert assign(api, job_id, a_sandbox(api, by=bob), by=bob).status_code == 403
    assert of(api, job_id)["Output"] == []


def test_an_administrator_assigns_what_is_in_his_vo(api: Api, db: Session) -> None:
    job_id, admin = a_stored_job(db), an_administrator()
    pfn = a_sandbox(api)
    assert assign(api, job_id, pfn, by=admin).status_code == 200
    assert assign(api, job_id, a_sandbox(api, by=a_user(vo="belle")), by=admin).status_code == 403
    assert assign(api, 4711, pfn, by=admin).status_code == 404
    assert of(api, job_id, by=admin)["Output"] == [pfn]


def test_the_pilot_of_a_job_assigns_its_owners_sandbox_and_no_other_pilot_does(api: Api, db: Session) -> None:
    job_id, pfn = a_stored_job(db), a_sandbox(api)
    assert assign(api, job_id, pfn, by=a_pilot("stamp-2")).status_code == 403
    assert assign(api, job_id, pfn, by=a_pilot()).status_code == 200
    assert of(api, job_id, by=a_pilot())["Output"] == [pfn]
    assert api.get(f"/api/jobs/{job_id}/sandbox", by=a_pilot("stamp-2")).status_code == 403
    assert api.ask("DELETE", f"/api/jobs/{job_id}/sandbox", by=a_pilot("stamp-2")).status_code == 403


def test_a_job_of_another_vo_has_no_sandboxes_to_see_or_to_take(api: Api, db: Session) -> None:
    job_id, pfn = a_stored_job(db), a_sandbox(api)
    assign(api, job_id, pfn)
    for stranger in (a_user(vo="belle"), an_administrator(vo="belle")):
        for what in ("", "/output", "/input"):
            assert api.get(f"/api/jobs/{job_id}/sandbox{what}", by=stranger).status_code == 404
        assert api.ask("DELETE", f"/api/jobs/{job_id}/sandbox", by=stranger).status_code == 404
        assert api.post("/api/jobs/sandbox/unassign", {"job_ids": [job_id]}, by=stranger).status_code == 204
    assert of(api, job_id)["Output"] == [pfn]


def test_a_colleagues_jobs_are_seen_and_left_alone(api: Api, db: Session) -> None:
    job_id, pfn, bob = a_stored_job(db, Status.DONE), a_sandbox(api), a_user("bob")
    assign(api, job_id, pfn)
    assert of(api, job_id, by=bob)["Output"] == [pfn]
    assert api.ask("DELETE", f"/api/jobs/{job_id}/sandbox", by=bob).status_code == 403
    assert api.post("/api/jobs/sandbox/unassign", {"job_ids": [job_id]}, by=bob).status_code == 403
    assert is_assigned(pfn)


def test_another_type_than_input_and_output_is_422(api: Api, db: Session) -> None:
    assert api.get(f"/api/jobs/{a_stored_job(db)}/sandbox/Input").status_code == 422


def test_a_name_that_has_no_room_in_the_table_is_told(api: Api) -> None:
    body = {"checksum": hashlib.sha256(b"x").hexdigest(), "size": 9, "format": "tar.zst"}
    for who in (a_user("x" * 33), a_user(group="x" * 33), a_user(vo="x" * 65)):
        answer = api.post("/api/jobs/sandbox", body, by=who)
        assert answer.status_code in (200, 400), answer.text
