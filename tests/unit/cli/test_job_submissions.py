"""Submitting jobs that are no workflows: commands, JDL and CWL, in DIRAC's words."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.cli.job_submissions import description
from diracx_tasks.jobs.jdl import parse
from tests.unit.cli.conftest import Run, json_of
from tests.unit.cli.server import Answer, Server

JDL = "/api/jobs/jdl"
MADE = [{"JobID": 7, "Status": "Received", "MinorStatus": "Job accepted"}]
PLAIN: dict[str, Any] = {"keep": (), "name": None, "cores": 1, "memory": None, "cpu_time": None, "sites": ()}


@pytest.fixture
def taking(server: Server) -> Server:
    """A server that takes jobs."""
    server.gives("POST", JDL, Answer(MADE, 201))
    return server


def test_a_command_becomes_a_job_with_its_files(diracx: Run, taking: Server) -> None:
    Path("x.py").write_text("print(1)\n")
    Path("cuts").mkdir()
    Path("cuts/low").write_text("3")
    command = ["job", "submit", "cmd", "python x.py > y", "--sandbox", "x.py", "--sandbox", "cuts"]
    result = diracx(*command, "--keep", "y", "--cores", 4, "--memory", 2000, "--site", "LCG.CERN.ch")

    assert json_of(result) == MADE
    (sent,) = taking.asked("POST", JDL)
    (archive,) = taking.store
    assert sent.headers["idempotency-key"] and archive.endswith(".tar.zst")
    assert dict(parse(sent.body[0]).items()) == {
        "Executable": "/bin/sh",
        "Arguments": "-c 'python x.py > y'",
        "JobName": "python",
        "InputSandbox": [f"SB:SandboxSE|{archive}"],
        "OutputSandbox": ["std.out", "std.err", "y"],
        "NumberOfProcessors": 4,
        "MinRAM": 2000,
        "Site": ["LCG.CERN.ch"],
    }
    content = zstandard.ZstdDecompressor().stream_reader(taking.store[archive]).read()
    with tarfile.open(fileobj=io.BytesIO(content)) as found:
        assert sorted(found.getnames()) == ["cuts", "cuts/low", "x.py"]


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs")), min_size=1))
def test_every_command_arrives_as_it_was_typed(command: str) -> None:
    import shlex

    if command.strip():
        arguments = parse(description(command, "", **PLAIN))["Arguments"]
        assert shlex.split(str(arguments)) == ["-c", command]


@pytest.mark.parametrize(("command", "words"), [(" ", "is empty"), ("a\nb", "in one line")])
def test_what_is_no_command_is_refused(diracx: Run, taking: Server, command: str, words: str) -> None:
    result = diracx("jobs", "submit", "cmd", command)
    assert (result.exit_code, words in result.stderr, taking.requests) == (2, True, [])


def test_two_files_of_one_name_are_refused(diracx: Run, taking: Server) -> None:
    Path("deep").mkdir()
    for name in ("x", "deep/x"):
        Path(name).write_text("")
    result = diracx("jobs", "submit", "cmd", "ls", "--sandbox", "x", "--sandbox", "deep/x")
    assert (result.exit_code, "two of the files are called x" in result.stderr) == (2, True)
    assert not taking.asked("POST", JDL)


def test_descriptions_are_submitted_and_what_they_are_need_not_be_said(diracx: Run, taking: Server) -> None:
    for name in ("a.jdl", "b.jdl"):
        Path(name).write_text(f'Executable = "{name}";')
    assert diracx("jobs", "submit", "jdl", "a.jdl", "-o", "id").stdout == "7\n"
    assert diracx("jobs", "submit", "a.jdl", "b.jdl", "-o", "id").stdout == "7\n"

    assert taking.asked("POST", JDL)[1].body == ['Executable = "a.jdl";', 'Executable = "b.jdl";']


def test_an_answer_that_gets_lost_makes_no_second_job(diracx: Run, server: Server) -> None:
    server.gives("POST", JDL, Answer(status=0), Answer(MADE, 201))
    Path("a.jdl").write_text('Executable = "a";')
    assert diracx("jobs", "submit", "a.jdl", "-o", "id").stdout == "7\n"
    first, second = server.asked("POST", JDL)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_cwl_is_submitted_in_upstreams_words(diracx: Run, server: Server) -> None:
    Path("tool.cwl").write_text("cwlVersion: v1.2\nclass: CommandLineTool\ninputs: {n: int}\noutputs: []\n")
    server.gives("POST", "/api/jobs/cwl", Answer(MADE, 201))
    for words in (["job", "submit", "cwl"], ["jobs", "submit"], ["jobs", "submit-cwl"]):
        assert diracx(*words, "tool.cwl", "--range", "n=1:100:1", "-o", "id").stdout == "7\n"
    assert {one.body["range"] for one in server.asked("POST", "/api/jobs/cwl")} == {"n=1:100:1"}
