"""Submitting a workflow: JSON and forms, once and only once."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diracx_tasks.cwl.bundle import MAX_BYTES
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.workflows.tables import Workflow
from tests.api.caller import Api
from tests.builders import TOOL, a_user, bearer

PATH = "/api/workflows"


def count(db: Session) -> int:
    db.rollback()
    return db.scalar(select(func.count()).select_from(Workflow)) or 0


def form(api: Api, *, files: Any, path: str = PATH, **fields: str) -> Any:
    return api.client.post(path, headers=bearer(a_user()), data=fields, files=files)


def test_a_json_submission_is_received_and_asks_to_be_advanced(api: Api, db: Session) -> None:
    answer = api.submit()
    assert (answer.status_code, answer.json()["status"]) == (201, "Received")
    assert answer.json()["name"] == "workflow.cwl"
    assert db.scalars(select(Outbox.task)).all() == ["workflows.advance"]


def test_a_form_with_yaml_inputs_is_the_same_as_json(api: Api) -> None:
    files = [("files", ("workflow.cwl", TOOL)), ("files", ("data/x.txt", b"\xff\xfe"))]
    answer = form(api, files=files, main="workflow.cwl", inputs="words: hello", name="from a form")
    assert (answer.status_code, answer.json()["name"]) == (201, "from a form")
    bundle = api.get(f"{PATH}/{answer.json()['workflow_id']}").json()["bundle"]
    stored = api.get(f"{PATH}/bundles/{bundle}").json()
    assert stored["files"] == {"workflow.cwl": TOOL, "data/x.txt": {"base64": "//4="}}


def test_the_first_file_of_a_form_is_the_main_document(api: Api) -> None:
    assert form(api, files=[("files", ("tool.cwl", TOOL))], inputs='{"words": "x"}').status_code == 201


def test_one_process_of_several_is_chosen_by_its_id(api: Api) -> None:
    tool = {**_tool(), "id": "second"}
    text = json.dumps({"cwlVersion": "v1.2", "$graph": [{**_tool(), "id": "first"}, tool]})
    body = {"files": {"all.cwl": text}, "main": "all.cwl#second", "inputs": {"words": "x"}}
    assert api.post(PATH, body).status_code == 201
    assert api.post(PATH, {**body, "main": "all.cwl#third"}).status_code == 422


def test_checking_stores_nothing_and_shows_the_graph(api: Api, db: Session) -> None:
    body = {"files": {"workflow.cwl": TOOL}, "main": "workflow.cwl", "inputs": {"words": "x"}}
    answer = api.post(f"{PATH}/check", body)
    assert (answer.status_code, answer.json()["ok"]) == (200, True)
    assert [node["kind"] for node in answer.json()["graph"]["nodes"]] == ["tool"]
    assert count(db) == 0


def test_the_same_key_gives_the_first_workflow_again(api: Api, db: Session) -> None:
    key = {"Idempotency-Key": "once"}
    first, again = api.submit(headers=key), api.submit(headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["workflow_id"] == again.json()["workflow_id"]
    assert count(db) == 1


def test_the_same_key_with_another_document_is_a_conflict(api: Api, db: Session) -> None:
    key = {"Idempotency-Key": "once"}
    api.submit(headers=key)
    answer = api.submit(TOOL + "doc: another\n", headers=key)
    assert answer.status_code == 409
    assert "was used for workflow 1" in answer.json()["detail"]
    assert count(db) == 1


def test_the_same_key_with_other_inputs_is_a_conflict(api: Api) -> None:
    key = {"Idempotency-Key": "once"}
    api.submit(headers=key)
    assert api.submit(inputs={"words": "something else"}, headers=key).status_code == 409


def test_a_key_is_its_users_own(api: Api) -> None:
    key = {"Idempotency-Key": "once"}
    first, other = api.submit(headers=key), api.submit(headers=key, by=a_user("bob"))
    assert first.json()["workflow_id"] != other.json()["workflow_id"]


def test_the_official_clients_retries_give_one_workflow(api: Api, db: Session) -> None:
    for _ in range(3):
        assert api.submit(headers={"x-ms-client-request-id": "7f2c"}).status_code == 201
    assert count(db) == 1


def test_ten_requests_at_once_under_one_key_make_one_workflow(api: Api, db: Session) -> None:
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: api.submit(headers={"Idempotency-Key": "k"}), range(10)))
    assert [answer.status_code for answer in answers] == [201] * 10
    assert len({answer.json()["workflow_id"] for answer in answers}) == 1
    assert count(db) == 1


def test_files_beyond_the_limit_are_413(api: Api) -> None:
    answer = form(api, files=[("files", ("workflow.cwl", TOOL)), ("files", ("big", b"x" * (MAX_BYTES + 1)))])
    assert answer.status_code == 413
    assert str(MAX_BYTES) in answer.json()["detail"]


def test_a_body_that_announces_too_much_is_413_before_it_is_read(api: Api) -> None:
    headers = {"Content-Length": str(10**12), "Content-Type": "application/json"}
    assert api.ask("POST", PATH, content=b"{}", headers=headers).status_code == 413


def test_a_body_that_does_not_announce_its_size_is_413_when_it_grows_too_large(api: Api) -> None:
    blocks = (b" " * (1 << 20) for _ in range(40))
    answer = api.ask("POST", PATH, content=blocks, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a\\b", "", "nul\0"])
def test_a_file_name_that_leaves_the_bundle_is_422(api: Api, name: str) -> None:
    body = {"files": {"workflow.cwl": TOOL, name: "x"}, "main": "workflow.cwl", "inputs": {"words": "x"}}
    assert api.post(PATH, body).status_code == 422


BAD_BODIES = [
    b"",
    b"null",
    b"[]",
    b"{",
    b"\xff\xfe",
    b'{"files": {}}',
    b'{"files": {}, "main": ""}',
    b'{"files": 7, "main": "x"}',
    b'{"files": {"workflow.cwl": {"base64": "???"}}, "main": "workflow.cwl"}',
    b'{"files": {"workflow.cwl": {"other": "x"}}, "main": "workflow.cwl"}',
    b'{"files": {"workflow.cwl": "\\ud800"}, "main": "workflow.cwl"}',
    b'{"files": {"workflow.cwl": "x"}, "main": "workflow.cwl", "name": "' + b"x" * 500 + b'"}',
    '{"files": {"w": "x"}, "main": "w"}'.encode("utf-16"),
    b'{"files": {"w": "x"}, "main": "w", "inputs": ' + b"[" * 100_000,
    b'{"files": {"w": "x"}, "main": "w", "inputs": {"a": ' + b"[" * 150 + b"]" * 150 + b"}}",
    b'{"files": {"w": "x"}, "main": "w", "inputs": {"a": NaN}}',
]


@pytest.mark.parametrize("path", [PATH, f"{PATH}/check"])
@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_a_malformed_body_is_the_askers_fault(api: Api, path: str, body: bytes) -> None:
    answer = api.ask("POST", path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 413, 422), answer.text
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    "value", [2**70, -(2**70), 1e308 * 10, "\ud800"], ids=["big", "small", "inf", "surrogate"]
)
def test_a_value_beyond_all_bounds_breaks_nothing(api: Api, value: Any) -> None:
    text = TOOL.replace("type: string", "type: Any")
    body = {"files": {"workflow.cwl": text}, "main": "workflow.cwl", "inputs": json.dumps({"words": value})}
    assert api.post(PATH, body).status_code in (201, 400, 422)


def test_a_form_that_is_none_is_the_askers_fault(api: Api) -> None:
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        answer = api.ask("POST", PATH, content=os.urandom(100), headers={"Content-Type": kind})
        assert answer.status_code in (400, 422), answer.text
    assert form(api, files=[], path=PATH, main="x").status_code in (400, 422)
    assert form(api, files=[("files", ("", TOOL))]).status_code in (400, 422, 201)


def test_a_header_beyond_its_length_is_422(api: Api) -> None:
    assert api.submit(headers={"Idempotency-Key": "x" * 129}).status_code == 422


def test_an_entry_point_beyond_its_column_is_422(api: Api) -> None:
    name = "d/" * 150 + "workflow.cwl"
    body = {"files": {name: TOOL}, "main": name, "inputs": {"words": "x"}}
    assert api.post(PATH, body).status_code == 422


def _tool() -> dict[str, Any]:
    inputs = {"words": {"type": "string", "inputBinding": {}}}
    return {"class": "CommandLineTool", "baseCommand": "echo", "inputs": inputs, "outputs": []}
