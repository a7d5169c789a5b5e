"""Submitting CWL processes as single jobs, and their outputs."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Run, json_of
from tests.unit.cli.server import Answer, Server

TOOL = (
    "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: cat\ninputs: {f: File?, n: int?}\noutputs: []\n"
)
MADE = {"Status": "Received", "MinorStatus": "Job accepted", "TimeStamp": "2026-11-26T10:00:00Z"}
ROUTE = ("POST", "/api/jobs/cwl")


@pytest.fixture
def documents(environment: None) -> None:
    """A tool with two files of inputs and a file that one of them names."""
    Path("tool.cwl").write_text(TOOL)
    Path("a.yaml").write_text("n: 1\nf: {class: File, path: data.txt}\n")
    Path("b.yaml").write_text("n: 2\n")
    Path("data.txt").write_text("hey")


def sent(server: Server) -> dict[str, Any]:
    """The body of the last submission."""
    body: dict[str, Any] = server.asked(*ROUTE)[-1].body
    return body


def test_each_file_of_inputs_makes_a_job(diracx: Run, server: Server, documents: None) -> None:
    server.gives(*ROUTE, Answer([{"JobID": 7, **MADE}, {"JobID": 8, **MADE}], 201))
    result = diracx("jobs", "submit-cwl", "tool.cwl", "a.yaml", "b.yaml", "--name", "cats", "-o", "id")
    assert (result.exit_code, result.stdout) == (0, "7\n8\n"), result.output
    body = sent(server)
    assert body["files"] == {"tool.cwl": TOOL} and (body["main"], body["name"]) == ("tool.cwl", "cats")
    first, second = body["inputs"]
    assert first["n"] == 1 and first["f"]["location"].startswith("sandbox:/S3/") and second == {"n": 2}
    assert list(server.store.values()) == [b"hey"]


def test_a_range_is_left_to_the_server(diracx: Run, server: Server, documents: None) -> None:
    server.gives(*ROUTE, Answer([{"JobID": 7, **MADE}], 201))
    assert (
        diracx("jobs", "submit-cwl", "tool.cwl", "--input", "f=data.txt", "--range", "n=0:10:2").exit_code
        == 0
    )
    body = sent(server)
    assert body["range"] == "n=0:10:2" and [list(one) for one in body["inputs"]] == [["f"]]


def test_a_lost_answer_makes_no_second_submission(diracx: Run, server: Server, documents: None) -> None:
    server.gives(*ROUTE, Answer(status=0), Answer([{"JobID": 7, **MADE}], 201))
    assert diracx("jobs", "submit-cwl", "tool.cwl", "b.yaml", "--idempotency-key", "k").exit_code == 0
    keys = [
        one.headers.get("Idempotency-Key", one.headers.get("idempotency-key")) for one in server.asked(*ROUTE)
    ]
    assert len(keys) >= 2 and set(keys) == {"k"}


def test_what_is_wrong_is_shown_at_its_place(diracx: Run, server: Server, documents: None) -> None:
    place = {"severity": "error", "file": "tool.cwl", "line": 4, "column": 10, "advice": "Correct it."}
    detail = {
        "kind": "invalid",
        "message": "inputs 2: no",
        "diagnostics": [{**place, "message": "inputs 2: no"}],
    }
    server.gives(*ROUTE, Answer({"detail": detail}, 422))
    result = diracx("jobs", "submit-cwl", "tool.cwl", "a.yaml", "b.yaml")
    assert result.exit_code == 34
    assert "tool.cwl:4:10: inputs 2: no" in result.stderr and "inputs: {f: File?" in result.stderr


def test_outputs_are_printed_and_downloaded(diracx: Run, server: Server) -> None:
    file = server.stored(b"3.14", "pi.txt")
    server.gives("GET", "/api/jobs/7/outputs", {"job_id": 7, "status": "Done", "outputs": {"pi": file}})
    assert json_of(diracx("jobs", "outputs", 7)) == {"pi": file}
    assert json_of(diracx("jobs", "outputs", 7, "--download", "here"))["pi"]["basename"] == "pi.txt"
    assert Path("here/pi.txt").read_bytes() == b"3.14"


@pytest.mark.parametrize(("status", "yet"), [("Running", " yet"), ("Failed", "")])
def test_a_job_without_outputs_says_so(diracx: Run, server: Server, status: str, yet: str) -> None:
    server.gives("GET", "/api/jobs/7/outputs", {"job_id": 7, "status": status, "outputs": None})
    result = diracx("jobs", "outputs", 7)
    assert (result.exit_code, result.stderr) == (1, f"diracx: job 7 is {status}: it has no outputs{yet}\n")
