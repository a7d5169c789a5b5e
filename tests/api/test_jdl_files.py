"""The files of submitted jobs: sandboxes are assigned, input data is noted."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import reading
from diracx_tasks.jobs.tables import InputFile, Payload
from tests.api.caller import Api
from tests.api.stores import installation, migrated
from tests.api.test_jdl import SIMPLE, count, submit, submitted
from tests.api.test_job_sandboxes import a_sandbox, of
from tests.builders import a_user

__all__ = ["installation", "migrated"]


def test_input_sandboxes_belong_to_the_job_from_the_beginning(api: Api) -> None:
    first, second = a_sandbox(api, "one"), a_sandbox(api, "two")
    sandbox = (
        f'InputSandbox = {{"SB:SandboxSE|{first}", "SB:SandboxSE|{second}", "LFN:/lhcb/x", "script.sh"}};'
    )
    jobs = submitted(api, *[SIMPLE + sandbox] * 3)
    for job_id in jobs:
        assert of(api, job_id) == {"Input": [first, second], "Output": []}
    again = api.post("/api/jobs/sandbox/unassign", {"job_ids": jobs})
    assert again.status_code == 204 and of(api, jobs[0])["Input"] == []


def test_the_sandbox_of_somebody_else_is_refused(api: Api, db: Session) -> None:
    for owner in (a_user("bob"), a_user(vo="belle"), a_user(group="other")):
        pfn = a_sandbox(api, by=owner)
        answer = submit(api, SIMPLE, SIMPLE + f'InputSandbox = {{"SB:SandboxSE|{pfn}"}};')
        assert answer.status_code == 403, answer.text
    assert count() == 0


def test_input_data_is_kept_file_by_file(api: Api) -> None:
    (job_id,) = submitted(api, SIMPLE + 'InputData = {"LFN:/lhcb/b", "/lhcb/a", "/lhcb/a"};')
    with reading() as db:
        rows = db.execute(select(InputFile.lfn, InputFile.status).where(InputFile.job_id == job_id)).all()
    assert sorted(map(tuple, rows)) == [("/lhcb/a", "AprioriGood"), ("/lhcb/b", "AprioriGood")]


def test_a_hundred_files_are_allowed_and_one_more_is_not(api: Api) -> None:
    def files(number: int) -> str:
        return SIMPLE + "InputData = {" + ", ".join(f'"/lhcb/{n}"' for n in range(number)) + "};"

    (job_id,) = submitted(api, files(100))
    assert submit(api, files(101)).status_code == 400
    with reading() as db:
        assert db.scalar(select(func.count()).where(InputFile.job_id == job_id)) == 100
        assert db.scalars(select(Payload.job_id)).all() == [job_id]
