"""Processes that run as one job each: submission, what is stored, an attempt, the outputs."""

import json
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import reading
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs.tables import InputFile, Job, JobJDL, Payload
from diracx_tasks.jobs.tasks import optimize
from diracx_tasks.sandboxes import metadata
from diracx_tasks.workflows.tables import BundleUse
from tests.api.caller import Api
from tests.api.changes import at, tell
from tests.api.stores import installation, migrated
from tests.api.test_match import ask
from tests.builders import HEX, TOOL, a_pilot, a_user

__all__ = ["installation", "migrated"]
PATH = "/api/jobs/cwl"
ON_SQLITE = pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
NUMBERED = TOOL.replace("type: string", "type: int")
HINTED = """cwlVersion: v1.2
class: CommandLineTool
label: an analysis
baseCommand: cat
inputs: {data: 'File[]'}
outputs: {log: stdout}
hints:
  dirac:Job:
    type: Test
    group: lhcb_analysis
    log_level: DEBUG
    sites: [LCG.CERN.ch]
    priority: 7
    input_data: [{source: data}]
    output_sandbox: [{source: log}, '*.txt']
    output_data: [{source: log, output_path: 'lfn:/lhcb/user/a/alice/', output_se: CERN-USER}]
"""


def submit(api: Api, text: str = TOOL, inputs: Any = None, **more: Any) -> Any:
    options = {name: more.pop(name) for name in ("by", "headers") if name in more}
    body = {"files": {"workflow.cwl": text}, "main": "workflow.cwl", "inputs": inputs, **more}
    return api.post(PATH, body, **options)


def numbers(answer: Any) -> list[int]:
    assert answer.status_code == 201, answer.text
    return [job["JobID"] for job in answer.json()]


def payloads(job_ids: list[int]) -> list[dict[str, Any]]:
    with reading() as db:
        rows = db.scalars(select(Payload).where(Payload.job_id.in_(job_ids)).order_by(Payload.job_id))
        return [
            json.loads(row.payload) if isinstance(row.payload, bytes | str) else row.payload for row in rows
        ]


def test_every_input_object_makes_a_job_that_a_pilot_runs(api: Api) -> None:
    answer = submit(api, inputs=[{"words": "a"}, "words: b"], name="words")
    first, second = numbers(answer)
    assert {tuple(sorted(one)) for one in answer.json()} == {("JobID", "MinorStatus", "Status", "TimeStamp")}
    optimize.apply()
    jobs = ask(api, count=2).json()["jobs"]
    assert [job["job_id"] for job in jobs] == [first, second]
    assert [job["payload"]["inputs"] for job in jobs] == [{"words": "a"}, {"words": "b"}]
    payload = jobs[0]["payload"]
    assert (payload["kind"], payload["path"], payload["entrypoint"]) == ("cwl", "", "workflow.cwl")
    assert api.get(f"/api/jobs/{first}/outputs").json() == {
        "job_id": first,
        "status": "Matched",
        "outputs": None,
    }
    report = {"Attempt": 1, "Source": "JobWrapper"}
    changes: list[dict[str, Any]] = [{"Status": "Running"}, {"Status": "Done", "Outputs": {"answer": 42}}]
    for second, update in enumerate(changes):
        told = tell(api, first, {at(second): {**report, **update}}, by=a_pilot())
        assert told.status_code == 200, told.text
    found = api.get(f"/api/jobs/{first}/outputs").json()
    assert found == {"job_id": first, "status": "Done", "outputs": {"answer": 42}}


def test_the_hint_decides_what_is_stored_of_a_job(api: Api, db: Session) -> None:
    place = f"sandbox:/S3/local/lhcb/user/alice/sha256:{HEX}.file"
    files = [{"class": "File", "location": one} for one in ("lfn:/lhcb/a.raw", place)]
    metadata.initiate(db, metadata.Owner("alice", "user", "lhcb"), checksum=HEX, size=3)
    db.commit()
    (job_id,) = numbers(submit(api, HINTED, {"data": files}))
    row = db.execute(select(Job).where(Job.job_id == job_id)).scalar_one()
    assert (row.job_type, row.job_group, row.name, row.site, row.priority) == (
        "Test",
        "lhcb_analysis",
        "an analysis",
        "LCG.CERN.ch",
        7,
    )
    (payload,) = payloads([job_id])
    assert payload["output_data"] == [
        {"source": "log", "output_path": "/lhcb/user/a/alice", "output_se": ["CERN-USER"]}
    ]
    assert (payload["output_sandbox"], payload["output_globs"]) == (["log"], ["*.txt"])
    assert payload["log_level"] == "DEBUG"
    assert db.scalars(select(InputFile.lfn).where(InputFile.job_id == job_id)).all() == ["/lhcb/a.raw"]
    assigned = api.get(f"/api/jobs/{job_id}/sandbox/input").json()
    assert [one.rpartition("|")[2] for one in assigned] == [place.removeprefix("sandbox:")]


@ON_SQLITE
@pytest.mark.parametrize(
    ("over", "values"),
    [("words=3", [0, 1, 2]), ("words=5:7", [5, 6]), ("words=0:10:4", [0, 4, 8]), ("words=3:0:-2", [3, 1])],
)
def test_a_range_is_expanded_here_as_python_counts(api: Api, over: str, values: list[int]) -> None:
    made = numbers(submit(api, NUMBERED, range=over))
    assert [one["inputs"]["words"] for one in payloads(made)] == values


@ON_SQLITE
@pytest.mark.parametrize(
    ("over", "inputs", "words"),
    [
        ("words", None, "is not NAME=STOP"),
        ("words=a:b", None, "is not NAME=STOP"),
        ("words=0:5:0", None, "the step is 0"),
        ("words=5:0", None, "is empty"),
        ("words=20000", None, "cannot submit more than 10000 jobs at once"),
        ("words=3", [{}, {}], "it goes with one input object, not with 2"),
        (None, [], "there are no inputs"),
    ],
)
def test_a_wrong_range_or_number_of_inputs_is_refused(api: Api, over: Any, inputs: Any, words: str) -> None:
    answer = submit(api, NUMBERED, inputs, range=over)
    assert answer.status_code == 400 and words in answer.json()["detail"]


def test_as_many_jobs_as_one_submission_may_make_and_no_more(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRACX_JOBS_AT_ONCE", "1200")
    settings.cache_clear()
    made = numbers(submit(api, NUMBERED, range="words=1200"))
    assert [one["inputs"]["words"] for one in payloads(made)] == list(range(1200))
    assert submit(api, NUMBERED, range="words=1201").status_code == 400
    assert submit(api, inputs=[{"words": "x"}] * 1201).status_code == 400


@ON_SQLITE
def test_one_wrong_input_among_many_makes_no_job_at_all(api: Api, db: Session) -> None:
    answer = submit(api, inputs=[{"words": "x"}] * 600 + [{"words": 3}])
    detail = answer.json()["detail"]
    assert answer.status_code == 422 and detail["message"].startswith("inputs 601: ")
    assert db.scalars(select(Job.job_id)).all() == [] and db.scalars(select(BundleUse.hash)).all() == []


def test_a_workflow_without_the_hint_is_sent_elsewhere(api: Api) -> None:
    workflow = "cwlVersion: v1.2\nclass: Workflow\ninputs: []\noutputs: []\nsteps: []\n"
    answer = submit(api, workflow)
    assert answer.status_code == 422
    assert "/api/workflows" in answer.json()["detail"]["diagnostics"][0]["advice"]
    assert len(numbers(submit(api, workflow + "hints: {dirac:Job: {}}\n"))) == 1


@ON_SQLITE
def test_the_same_key_is_one_submission(api: Api) -> None:
    headers = {"Idempotency-Key": "once"}
    first = submit(api, inputs=[{"words": "a"}, {"words": "b"}], headers=headers)
    again = submit(api, inputs=[{"words": "a"}, {"words": "b"}], headers=headers)
    assert numbers(first) == numbers(again) and first.json() == again.json()
    other = submit(api, inputs=[{"words": "c"}], headers=headers)
    assert other.status_code == 409
    jdl = api.post("/api/jobs/jdl", ['Executable = "/bin/ls";'], headers=headers)
    assert jdl.status_code == 409


def test_a_form_makes_the_same_jobs_as_json(api: Api) -> None:
    files = [
        ("files", ("workflow.cwl", TOOL.encode())),
        ("inputs", ("a.yaml", b"words: from a file")),
        ("inputs", (None, "words: a text")),
    ]
    made = numbers(api.ask("POST", PATH, files=files))
    assert [one["inputs"]["words"] for one in payloads(made)] == ["from a file", "a text"]
    ranged = [("files", ("workflow.cwl", NUMBERED.encode())), ("range", (None, "words=2"))]
    assert [one["inputs"]["words"] for one in payloads(numbers(api.ask("POST", PATH, files=ranged)))] == [
        0,
        1,
    ]


@ON_SQLITE
@pytest.mark.parametrize(
    "body", ["{", '{"files": {}}', '{"files": {"x.cwl": ""}, "main": "x.cwl", "inputs": 3}']
)
def test_what_is_no_submission_is_refused(api: Api, body: str) -> None:
    answer = api.ask("POST", PATH, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and answer.json()["detail"].startswith("not a submission: ")


@ON_SQLITE
def test_files_of_others_are_not_given_to_a_job(api: Api) -> None:
    place = f"sandbox:/S3/local/lhcb/user/bob/sha256:{HEX}.file"
    assert submit(api, HINTED, {"data": [{"class": "File", "location": place}]}).status_code == 403


@ON_SQLITE
def test_a_type_that_the_vo_does_not_have_is_refused(api: Api) -> None:
    answer = submit(api, HINTED.replace("type: Test", "type: Magic"), {"data": []})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "type: Magic is not allowed, only User, Test, Hospital"


@ON_SQLITE
def test_a_pilot_of_the_vo_may_read_the_documents_and_nobody_elses(api: Api) -> None:
    (job_id,) = numbers(submit(api, inputs={"words": "x"}))
    numbers(submit(api, inputs={"words": "y"}, by=a_user("carol")))
    (payload,) = payloads([job_id])
    where = f"/api/workflows/bundles/{payload['bundle']}"
    assert api.get(where, by=a_pilot()).json()["files"] == {"workflow.cwl": TOOL}
    assert api.get(where, by=a_user(vo="belle")).status_code == 404
    assert api.get("/api/workflows").json()["workflows"] == []


@ON_SQLITE
def test_the_outputs_of_a_job_of_another_vo_are_not_shown(api: Api) -> None:
    (job_id,) = numbers(submit(api, inputs={"words": "x"}))
    assert api.get(f"/api/jobs/{job_id}/outputs", by=a_user(vo="belle")).status_code == 404


@ON_SQLITE
def test_such_a_job_has_a_description_as_all_jobs_have(api: Api, db: Session) -> None:
    (job_id,) = numbers(submit(api, inputs={"words": "x"}, name="my words"))
    assert 'JobName = "my words"' in str(db.scalar(select(JobJDL.jdl).where(JobJDL.job_id == job_id)))
