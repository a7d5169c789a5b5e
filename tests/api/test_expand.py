"""Wide parametric jobs end, whatever happens while they are expanded: refused, or killed meanwhile."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from celery import current_app
from sqlalchemy import func, select

from diracx_tasks.core.database import commit, new_session, reading, session
from diracx_tasks.jobs import control, expand, submissions
from diracx_tasks.jobs.expand import Progress
from diracx_tasks.jobs.tables import InputFile, Job
from tests.api.caller import Api
from tests.api.changes import events, the
from tests.api.locks import wait_until_it_waits
from tests.api.stores import ON_MARIADB, installation, migrated
from tests.builders import HEX

__all__ = ["installation", "migrated"]
PATH = "/api/jobs/jdl"
MINE = f"SB:SandboxSE|/S3/local/lhcb/user/alice/sha256:{HEX}.tar.zst"
THEIRS = MINE.replace("alice", "bob")


@pytest.fixture(autouse=True)
def chunks_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wider than two jobs is expanded by the task, two at a time."""
    monkeypatch.setattr(submissions, "AT_ONCE", 2)
    monkeypatch.setattr(expand, "AT_ONCE", 2)


def submitted(api: Api, jdl: str) -> int:
    answer = api.post(PATH, [jdl])
    assert answer.status_code == 201, answer.text
    (one,) = answer.json()
    return int(one["JobID"])


def a_wide_job(api: Api, *sandboxes: str) -> int:
    names = ", ".join(f'"{one}"' for one in sandboxes)
    return submitted(api, f'Executable = "echo"; InputSandbox = {{"%s"}}; Parameters = {{{names}}};')


def count() -> int:
    with reading() as db:
        return db.scalar(select(func.count()).select_from(Job)) or 0


def run(job_id: int) -> None:
    """What a worker does with the task."""
    key = f"job-{job_id}.expand"
    current_app.tasks["jobs.expand"].apply(kwargs={"job_id": job_id}, task_id=key, headers={"outbox": key})


def one_chunk(job_id: int) -> Progress:
    with session() as db:
        return expand.expand(db, job_id)


def test_a_wide_job_whose_later_sandboxes_are_anothers_fails_and_says_why(api: Api) -> None:
    job_id = a_wide_job(api, MINE, MINE, MINE, MINE, THEIRS)
    assert the(api, job_id)["Status"] == "Submitting"
    run(job_id)
    job = the(api, job_id)
    assert (job["Status"], job["MinorStatus"]) == ("Failed", "Illegal Job JDL")
    assert "PFN must start with /S3/local/lhcb/user/alice/" in job["ApplicationStatus"]
    assert events(job_id)[-1][0] == "Failed"
    run(job_id)
    assert (count(), the(api, job_id)["Status"]) == (3, "Failed")


def test_a_wide_job_with_a_name_that_is_no_sandboxs_fails_as_well(api: Api) -> None:
    job_id = a_wide_job(api, MINE, MINE, "SB:SandboxSE|/S3/../x")
    run(job_id)
    assert the(api, job_id)["Status"] == "Failed"
    assert "is not the name of a sandbox" in the(api, job_id)["ApplicationStatus"]


def test_a_kill_between_two_chunks_ends_the_expansion(api: Api) -> None:
    job_id = a_wide_job(api, *[MINE] * 7)
    assert one_chunk(job_id) == Progress(3, 7)
    assert api.post(f"/api/jobs/{job_id}/kill").json()["status"] == "Killed"
    run(job_id)
    assert (count(), the(api, job_id)["Status"]) == (3, "Killed")


@ON_MARIADB
def test_a_chunk_waits_for_a_kill_that_is_under_way_and_makes_nothing_then(api: Api) -> None:
    job_id = a_wide_job(api, *[MINE] * 7)
    with new_session() as killer, ThreadPoolExecutor(1) as threads:
        assert control.kill_all(killer, [job_id], "by hand") == 1
        chunk = threads.submit(one_chunk, job_id)
        wait_until_it_waits(chunk)
        commit(killer)
        assert chunk.result(30) == Progress(1, 1)
    assert (count(), the(api, job_id)["Status"]) == (1, "Killed")


@pytest.mark.parametrize("names", [("/lhcb/a", "/lhcb/A"), ("/lhcb/e", "/lhcb/é", "/lhcb/E")], ids=str)
def test_files_whose_names_differ_in_capitals_or_accents_only_are_different_files(
    api: Api, names: tuple[str, ...]
) -> None:
    stated = ", ".join(f'"LFN:{one}"' for one in names)
    job_id = submitted(api, f'Executable = "echo"; InputData = {{{stated}}};')
    with reading() as db:
        found = db.scalars(select(InputFile.lfn).where(InputFile.job_id == job_id)).all()
    assert sorted(one.removeprefix("LFN:") for one in found) == sorted(names)
