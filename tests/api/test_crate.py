"""A finished workflow as a Workflow Run RO-Crate."""

import io
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.jobs import status as door
from diracx_tasks.jobs.optimize import WAITING
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change
from diracx_tasks.jobs.tables import Job
from diracx_tasks.workflows import crate as crates
from diracx_tasks.workflows.tasks import advance
from tests.api.caller import Api
from tests.builders import a_user, claim
from tests.rocrate import validator

PATH = "/api/workflows"
# Run by the validator's Python: what it would fetch from the network is put into its cache.
SHELF = """
import io, json, sys
from importlib.resources import files
from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from urllib3 import HTTPResponse

TERMS = {"@context": {"sha1": "https://w3id.org/ro/terms/workflow-run#sha1"}}
TEXTS = {
    "https://w3id.org/ro/crate/1.1/context": (files("rocrate") / "data" / "ro-crate.jsonld").read_bytes(),
    "https://w3id.org/ro/terms/workflow-run/context": json.dumps(TERMS).encode(),
}

class Shelf(HTTPAdapter):
    def send(self, request, **_):
        body, kind = io.BytesIO(TEXTS[request.url]), {"Content-Type": "application/ld+json"}
        raw = HTTPResponse(body, kind, 200, preload_content=False, request_url=request.url)
        return self.build_response(request, raw)

session = CachedSession(cache_name=sys.argv[1], backend="sqlite", expire_after=-1)
session.mount("https://", Shelf())
for url in TEXTS:
    session.get(url)
"""
DOCUMENT = """cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs:
  words: string[]
  note: {type: string?, doc: what it is about}
outputs:
  all: {type: "File[]", outputSource: say/out}
  count: {type: int, outputSource: count/n}
steps:
  say: {run: tools/say.cwl, scatter: word, in: {word: words}, out: [out]}
  count:
    run:
      class: ExpressionTool
      inputs: {files: "File[]"}
      outputs: {n: int}
      expression: "${return {n: inputs.files.length};}"
    in: {files: say/out}
    out: [n]
"""
TOOL = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
inputs: {word: {type: string, inputBinding: {}}}
outputs: {out: stdout}
"""


def a_file(number: int) -> dict[str, Any]:
    """An output in the store."""
    location = f"sandbox:/S3/local/lhcb/user/alice/sha256:{number:064}.file"
    return {
        "class": "File",
        "location": location,
        "basename": f"out{number}.txt",
        "size": 6,
        "checksum": "sha1$ab",
    }


def submitted(api: Api, words: list[str]) -> int:
    """A workflow with one job for each word."""
    files = {"workflow.cwl": DOCUMENT, "tools/say.cwl": TOOL}
    body = {"files": files, "main": "workflow.cwl", "inputs": {"words": words}, "name": "greetings"}
    return int(api.post(PATH, body).json()["workflow_id"])


def run_jobs(db: Session, number: int, change: Callable[[int], Change]) -> list[int]:
    """Advance, and let every job run and end; the jobs."""
    advance.apply(kwargs={"workflow_id": number})
    jobs = list(db.scalars(select(Job.job_id).where(Job.status == Status.RECEIVED).order_by(Job.job_id)))
    door.move_many(db, jobs, WAITING, frm=(Status.RECEIVED,))
    for place, job_id in enumerate(jobs):
        assert claim(db, job_id) == 1
        for one in (Change(Status.RUNNING), change(place)):
            assert door.move(db, job_id, one, attempt=1) is door.Outcome.APPLIED
    db.commit()
    advance.apply(kwargs={"workflow_id": number})
    db.rollback()
    return jobs


def well(place: int) -> Change:
    """The end of a job that has written a file."""
    return Change(Status.DONE, "as built", outputs={"out": a_file(place)})


def done(api: Api, db: Session, words: list[str]) -> int:
    """A workflow that is done."""
    number = submitted(api, words)
    run_jobs(db, number, well)
    assert api.get(f"{PATH}/{number}").json()["status"] == "Done"
    return number


def entities(metadata: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All entities by their ids, each of which is there once; every reference leads to one, or out."""
    found = {one["@id"]: one for one in metadata["@graph"]}
    assert len(found) == len(metadata["@graph"])
    text = json.dumps(metadata["@graph"])
    assert all(
        one["@id"].startswith("https:") or one["@id"] in found for one in _references(json.loads(text))
    )
    return found


def _references(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [one for inner in value for one in _references(inner)]
    if not isinstance(value, dict):
        return []
    own = [value] if value.keys() == {"@id"} else []
    return own + [one for inner in value.values() for one in _references(inner)]


def test_a_crate_tells_of_every_job_with_its_files_and_times(api: Api, db: Session) -> None:
    number = done(api, db, ["hello", "bye"])
    found = entities(api.get(f"{PATH}/{number}/crate").json())
    runs = [one for one in found.values() if one["@type"] == "CreateAction" and one["@id"] != "#run"]
    says = [one for one in runs if one["instrument"] == {"@id": "#tool/say"}]

    assert len(says) == 2 and len(runs) == 3
    assert [one["result"] for one in says] == [[{"@id": a_file(place)["location"]}] for place in (0, 1)]
    assert all(one["startTime"] <= one["endTime"] and one["location"] == "site LCG.CERN.ch" for one in says)
    word = found[says[0]["object"][0]["@id"]]
    assert (word["name"], word["value"]) == ("word", "hello")
    file = found[a_file(0)["location"]]
    assert (file["name"], file["contentSize"], file["sha1"]) == ("out0.txt", "6", "ab")
    assert file["exampleOfWork"] == [{"@id": "#output/all"}]


def test_a_crate_says_what_was_asked_by_whom_and_what_came_out(api: Api, db: Session) -> None:
    number = done(api, db, ["hello", "bye"])
    found = entities(api.get(f"{PATH}/{number}/crate").json())
    run, main, root = found["#run"], found["workflow.cwl"], found["./"]

    assert run["instrument"] == {"@id": "workflow.cwl"} and run["agent"] == {"@id": "#alice"}
    assert found["#run/in/words"]["value"] == ["hello", "bye"]
    assert found["#run/out/count"]["value"] == 2
    assert [found[one["@id"]]["name"] for one in main["output"]] == ["all", "count"]
    assert [found[one["@id"]]["name"] for one in main["step"]] == ["say", "count"]
    assert found["#control/say"]["description"] == "2 of 2 instances ended: 2 Done."
    assert {"@id": "tools/say.cwl"} in root["hasPart"]
    assert found["#organize"]["result"] == {"@id": "#run"}


def test_the_zip_holds_the_metadata_and_the_documents(api: Api, db: Session) -> None:
    number = done(api, db, ["hello"])
    answers = (
        api.get(f"{PATH}/{number}/crate", headers={"Accept": "application/zip"}),
        api.get(f"{PATH}/{number}/crate", params={"format": "zip"}),
    )
    for answer in answers:
        assert answer.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.namelist() == ["ro-crate-metadata.json", "tools/say.cwl", "workflow.cwl"]
            assert archive.read("workflow.cwl").decode() == DOCUMENT
            assert "@graph" in json.loads(archive.read("ro-crate-metadata.json"))


def test_a_crate_of_a_failed_workflow_says_why_and_what_never_ran(api: Api, db: Session) -> None:
    number = submitted(api, ["hello"])
    run_jobs(db, number, lambda _: Change(Status.FAILED, "Application Finished With Errors", "exit code 3"))
    found = entities(api.get(f"{PATH}/{number}/crate").json())

    assert found["#run"]["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert "exit code 3" in found["#run"]["error"]
    assert "Steps that never ran: count." in found["./"]["description"]
    assert "#tool/count" not in found


def test_of_many_jobs_the_first_are_listed_and_all_are_counted(
    api: Api, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crates, "MOST_OF_A_STEP", 3)
    monkeypatch.setattr(crates, "MOST_VALUES", 2)
    number = done(api, db, [f"word{place}" for place in range(7)])
    found = entities(api.get(f"{PATH}/{number}/crate").json())

    assert len(found["#control/say"]["object"]) == 3
    assert found["#control/say"]["description"] == "7 of 7 instances ended: 7 Done. The first 3 are listed."
    assert found["#run/in/words"]["value"] == ["word0", "word1", "5 more are left out"]


def test_a_workflow_that_goes_on_has_a_crate_that_says_so_and_others_do_not_see_one(
    api: Api, db: Session
) -> None:
    number = submitted(api, ["hello"])
    found = entities(api.get(f"{PATH}/{number}/crate").json())

    assert found["#run"]["actionStatus"] == "http://schema.org/ActiveActionStatus"
    assert "endTime" not in found["#run"]
    assert "It still goes on" in found["./"]["description"]
    assert api.get(f"{PATH}/{number}/crate", by=a_user(vo="belle")).status_code == 404


def test_a_crate_is_valid(api: Api, db: Session, tmp_path: Path) -> None:
    number = done(api, db, ["hello", "bye"])
    file = tmp_path / "crate.zip"
    file.write_bytes(api.get(f"{PATH}/{number}/crate", params={"format": "zip"}).content)
    cache = str(tmp_path / "cache")
    program = validator()
    subprocess.run([program.with_name("python"), "-c", SHELF, cache], check=True)
    options = ("--no-paging", "--offline", "--cache-path", cache, "-v", "-l", "REQUIRED")
    command = [str(program), "-y", "validate", *options, "-p", "provenance-run-crate-0.5", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert checked.returncode == 0, checked.stdout
