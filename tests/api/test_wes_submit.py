"""GA4GH WES 1.1: what a run is asked for with, and what is refused."""

import base64
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.packed import unpacked
from diracx_tasks.cwl.values import locations
from diracx_tasks.workflows.tables import NodeValues, Workflow
from tests.api.wes import COUNT, Wes, wes
from tests.builders import TOOL

__all__ = ["wes"]


def files_of(db: Session) -> set[str]:
    """Where the input files of the one workflow there is are."""
    (stored,) = db.scalars(select(NodeValues.inputs)).all()
    return set(locations(unpacked(stored or b"")))


def test_a_run_is_a_workflow_whose_request_is_told_as_it_was_sent(wes: Wes) -> None:
    sent: dict[str, Any] = {
        "workflow_params": {"words": "hello"},
        "tags": {"sample": "17", "empty": ""},
        "workflow_engine": "diracx",
        "workflow_engine_parameters": {"name": "first", "on_error": "continue"},
    }
    run = wes.run(**sent)
    log = wes.get("GetRunLog", f"/runs/{run}")
    told = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "workflow.cwl"}
    assert log["request"] == {**sent, **told}
    assert (log["state"], log["outputs"], log["run_log"]["name"]) == ("QUEUED", {}, "first")
    native = wes.api.get(f"/api/workflows/{run}").json()
    assert (native["name"], native["status"], native["owner"]) == ("first", "Received", "alice")


def test_parameters_of_the_engine_reach_the_workflow(wes: Wes, db: Session) -> None:
    run = wes.run(workflow_engine_parameters={"on_error": "continue", "reuse": "false", "retries": "7"})
    found = db.get_one(Workflow, int(run))
    assert (found.on_error, found.reuses, found.max_tries) == ("continue", False, 8)
    db.rollback()
    plain = db.get_one(Workflow, int(wes.run(workflow_engine_parameters={"reuse": True})))
    assert (plain.on_error, plain.reuses, plain.max_tries) == ("stop", True, 3)


@pytest.mark.parametrize("name", ["./in/words.txt", "in//words.txt", "in/./words.txt"])
def test_the_name_of_an_attachment_is_made_plain(wes: Wes, db: Session, name: str) -> None:
    params = {"text": {"class": "File", "path": "in/words.txt"}}
    wes.run({"tools/count.cwl": COUNT, name: "a\n"}, workflow_url="./tools/count.cwl", workflow_params=params)
    assert files_of(db) == {"bundle:in/words.txt"}


def test_files_named_by_the_senders_own_addresses_are_the_attachments(wes: Wes, db: Session) -> None:
    params = {"text": {"class": "File", "location": "file:///home/al%20ice/data/in/words.txt"}}
    files = {"workflow.cwl": COUNT, "in/words.txt": "a\n", "words.txt": "another\n"}
    wes.run(files, workflow_params=params)
    assert files_of(db) == {"bundle:in/words.txt"}


def test_a_file_that_is_not_attached_is_refused_whatever_its_name_ends_with(wes: Wes) -> None:
    files = {"workflow.cwl": COUNT, "words.txt": "a\n"}
    one = {"class": "File", "location": "file:///home/alice/words.txt"}
    other = {"class": "File", "location": "file:///etc/words.txt"}
    nowhere = {"class": "File", "location": "file:///etc/passwd"}
    for params, words in (
        ({"text": nowhere}, "file:///etc/passwd is a file of your machine"),
        ({"text": one, "more": [other]}, "files are in several folders, /etc and /home/alice"),
        ({"text": {"class": "File", "path": "absent.txt"}}, "is not among the files sent"),
        (
            {"text": {"class": "File", "location": "http://localhost/x"}},
            "the server does not fetch addresses",
        ),
    ):
        answer = wes.submit(files, workflow_params=params)
        assert answer.status_code in (400, 422) and words in answer.json()["msg"], answer.text


@pytest.mark.parametrize(
    "url",
    [
        TOOL,
        "data:text/plain;base64," + base64.b64encode(TOOL.encode()).decode(),
        "data:," + quote(TOOL),
    ],
    ids=["text", "base64", "percent"],
)
def test_a_document_may_come_as_the_workflow_url_itself(wes: Wes, url: str) -> None:
    run = wes.run({}, workflow_url=url)
    assert wes.get("GetRunLog", f"/runs/{run}")["request"]["workflow_url"] == "workflow.cwl"


def test_the_version_may_be_any_that_is_told_and_the_language_is_written_anyhow(wes: Wes) -> None:
    versions = wes.get("GetServiceInfo", "/service-info")["workflow_type_versions"]["CWL"]
    for version in versions["workflow_type_version"]:
        text = TOOL.replace("v1.2", version)
        wes.run({"workflow.cwl": text}, workflow_type_version=version, workflow_type="cwl")


REFUSED = [
    ({"workflow_url": "https://example.org/workflow.cwl"}, "this service fetches no documents"),
    ({"workflow_url": "trs://example.org/1"}, "this service fetches no documents"),
    ({"workflow_url": "file:///etc/passwd"}, "this service fetches no documents"),
    ({"workflow_url": "data:nothing"}, "without a comma"),
    ({"workflow_url": "data:;base64,%%%"}, "base64 is wrong"),
    ({"workflow_url": None}, "the field workflow_url is missing"),
    ({"workflow_type": "WDL"}, "this service runs CWL"),
    ({"workflow_type_version": "v0.9"}, "this service runs CWL v1.0"),
    ({"workflow_engine": "toil"}, "the one here is diracx"),
    ({"workflow_engine_version": "0.0.0"}, "workflow_engine_version is '0.0.0'"),
    ({"workflow_params": "{"}, "workflow_params is not JSON"),
    ({"workflow_params": "[1]"}, "workflow_params is a JSON object"),
    ({"workflow_params": "[" * 100_000}, "workflow_params is not JSON"),
    ({"tags": {"a": 1}}, "tags are an object of at most"),
    ({"tags": "[]"}, "tags is a JSON object"),
    (
        {"workflow_engine_parameters": {"speed": "11"}},
        "there is no workflow_engine_parameter 'speed', only name",
    ),
    ({"workflow_engine_parameters": {"retries": "11"}}, "retries is a number from 0 to 10"),
    ({"workflow_engine_parameters": {"on_error": "panic"}}, "on_error is stop or continue, not 'panic'"),
    ({"workflow_engine_parameters": {"reuse": "maybe"}}, "reuse is true or false"),
    ({"workflow_engine_parameters": {"name": "x" * 200}}, "name is a text of at most 128"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_cannot_be_run_is_refused_in_words(wes: Wes, fields: dict[str, Any], words: str) -> None:
    answer = wes.submit(**fields)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["msg"]


@pytest.mark.parametrize("name", ["../workflow.cwl", "/etc/workflow.cwl", "a/../../b.cwl", "a\\b.cwl"])
def test_no_attachment_leaves_its_folder(wes: Wes, name: str) -> None:
    answer = wes.submit({"workflow.cwl": TOOL, name: "x"})
    assert answer.status_code == 422 and "is not allowed" in answer.json()["msg"]


def test_a_wrong_document_is_refused_with_the_place(wes: Wes) -> None:
    answer = wes.submit({"workflow.cwl": TOOL.replace("inputs:", "input:")})
    assert answer.status_code == 422
    (first, *_) = answer.json()["diagnostics"]
    assert (first["file"], first["line"]) == ("workflow.cwl", 1)


def test_the_same_attachment_may_come_twice_but_not_with_another_content(wes: Wes) -> None:
    twice = [("workflow_attachment", ("workflow.cwl", TOOL.encode()))] * 2
    form = {"workflow_url": "workflow.cwl", "workflow_type": "CWL", "workflow_type_version": "v1.2"}
    form["workflow_params"] = '{"words": "x"}'
    assert wes.ask("POST", "/runs", data=form, files=twice).status_code == 200
    twice[1] = ("workflow_attachment", ("workflow.cwl", b"x"))
    answer = wes.ask("POST", "/runs", data=form, files=twice)
    assert answer.status_code == 400 and "two attachments with different contents" in answer.json()["msg"]


def test_a_body_that_is_no_form_is_refused(wes: Wes) -> None:
    answer = wes.ask("POST", "/runs", json={"workflow_url": "workflow.cwl"})
    assert answer.status_code == 400
    assert answer.json()["msg"] == "the body is application/json, not multipart/form-data"
    broken = wes.ask("POST", "/runs", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert broken.status_code == 400


def test_the_same_key_gives_the_first_run_and_no_other_request(wes: Wes) -> None:
    key = {"Idempotency-Key": "night-42"}
    first = wes.run(headers=key)
    assert wes.run(headers=key) == first
    other = wes.submit(headers=key, workflow_params={"words": "bye"})
    assert other.status_code == 409 and "night-42" in other.json()["msg"]
