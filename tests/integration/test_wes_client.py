"""GA4GH's own client (`wes-client` of the package wes-service), unmodified, with a running system."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.api.wes import conforms
from tests.system import System

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
COMMAND = Path(sys.executable).parent / "wes-client"
WORKFLOW = """cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {texts: "File[]"}
outputs:
  counts: {type: "File[]", outputSource: count/lines}
steps:
  count: {run: tools/count.cwl, scatter: text, in: {text: texts}, out: [lines]}
"""
COUNT = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: [wc, -l]
inputs: {text: {type: File, streamable: true}}
stdin: $(inputs.text.path)
stdout: lines.txt
outputs: {lines: stdout}
"""
BROKEN = """cwlVersion: v1.1
class: CommandLineTool
baseCommand: [sh, -c, 'echo no luck; exit 3']
inputs: []
outputs: []
"""
FILES = {
    "workflow.cwl": WORKFLOW,
    "tools/count.cwl": COUNT,
    "inputs.yaml": "texts:\n- {class: File, path: in/two.txt}\n- {class: File, location: in/three.txt}\n",
    "in/two.txt": "a\nb\n",
    "in/three.txt": "a\nb\nc\n",
    "broken.cwl": BROKEN,
    "nothing.json": "{}",
}


@dataclass(frozen=True)
class Ended:
    """What a command printed and how it ended."""

    code: int
    out: str
    words: str


def ended(process: subprocess.Popen[str]) -> Ended:
    """The end of a command."""
    with process:
        try:
            out, words = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return Ended(process.returncode, out, words)


class Client:
    """The client in the folder of somebody's workflow."""

    def __init__(self, system: System, folder: Path) -> None:
        self.folder = folder
        url, self.token = system.client.url, system.client.token
        scheme, _, self.host = url.partition("://")
        stated = {"WES_API_PROTO": scheme, "WES_API_HOST": self.host, "WES_API_AUTH": f"Bearer {self.token}"}
        self.environment = {**os.environ, **stated}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The client at work."""
        return subprocess.Popen(
            [COMMAND, *arguments],
            env={**self.environment, **environment},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, **environment: str) -> Ended:
        """What it prints and how it ends."""
        return ended(self.start(*arguments, **environment))

    def read(self, *arguments: str) -> Any:
        """The JSON that it prints."""
        done = self(*arguments)
        assert done.code == 0, done.out + done.words
        return json.loads(done.out)

    def run(self, *arguments: str) -> subprocess.Popen[str]:
        """A run; for that the client sends no header, but a password of its address."""
        return self.start("--run", *arguments, WES_API_HOST=f"token:{self.token}@{self.host}")

    def fetch(self, address: str) -> bytes:
        """What is at an address, with the token."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = urllib3.request("GET", address, headers=headers)
        assert answer.status == 200, answer.data
        return answer.data


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A system and a folder with a workflow, its tool and its files."""
    folder = tmp_path_factory.mktemp("work")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    with System(tmp_path_factory.mktemp("system") / "data") as system:
        yield Client(system, folder)


@pytest.fixture(scope="module")
def both(client: Client) -> tuple[Ended, Ended]:
    """A run that goes well and one that does not, waited for at the same time."""
    attachments = "--attachments=tools/count.cwl,in/*.txt"
    good = client.run("--wait", "workflow.cwl", "inputs.yaml", attachments)
    bad = client.run("--wait", "broken.cwl", "nothing.json")
    return ended(good), ended(bad)


@pytest.fixture
def counted(both: tuple[Ended, Ended]) -> Ended:
    """The one that goes well."""
    return both[0]


@pytest.fixture
def broken(both: tuple[Ended, Ended]) -> Ended:
    """The one that fails."""
    return both[1]


def test_a_workflow_with_attachments_is_run_and_waited_for(client: Client, counted: Ended) -> None:
    assert counted.code == 0, counted.out + counted.words
    assert "State is COMPLETE" in counted.words
    # The log that the client fetches for people.
    assert "count[1] Done" in counted.words or "count Done" in counted.words
    files = json.loads(counted.out)["counts"]
    assert [client.fetch(one["url"]).split() for one in files] == [[b"2"], [b"3"]]


def test_runs_are_listed_and_told_as_the_standard_says(client: Client, counted: Ended) -> None:
    listed = conforms("RunListResponse", client.read("--list"))
    run = next(one["run_id"] for one in listed["runs"] if one["state"] == "COMPLETE")
    log = conforms("RunLog", client.read(f"--get={run}"))
    assert log["outputs"] == json.loads(counted.out)
    assert (log["run_log"]["exit_code"], log["request"]["workflow_url"]) == (0, "workflow.cwl")
    assert len(log["task_logs"]) == 2
    for task in log["task_logs"]:
        assert (task["name"], task["exit_code"]) == ("count", 0)
        assert task["start_time"] <= task["end_time"]
        assert b"[job count] completed success" in client.fetch(task["stderr"])
    page = conforms("TaskListResponse", json.loads(client.fetch(log["task_logs_url"])))
    assert page == {"task_logs": log["task_logs"], "next_page_token": ""}


def test_the_service_tells_what_it_runs(client: Client) -> None:
    info = conforms("ServiceInfo", client.read("--info"))
    assert {"v1.0", "v1.1", "v1.2"} <= set(info["workflow_type_versions"]["CWL"]["workflow_type_version"])
    assert b"dirac login" in client.fetch(info["auth_instructions_url"])


def test_a_run_whose_tool_fails_ends_the_client_with_its_log(client: Client, broken: Ended) -> None:
    assert broken.code == 1
    assert "State is EXECUTOR_ERROR" in broken.words
    (run,) = [one for one in client.read("--list")["runs"] if one["state"] == "EXECUTOR_ERROR"]
    log = client.read(f"--get={run['run_id']}")
    (task,) = log["task_logs"]
    assert (task["exit_code"], log["run_log"]["exit_code"]) == (3, 1)
    assert b"no luck" in client.fetch(task["stdout"])
    told = client(f"--log={run['run_id']}")
    assert (told.code, "exit code 3" in told.out) == (0, True)


def test_a_password_in_netrc_is_enough_and_without_any_the_run_is_refused(
    client: Client, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login token password {client.token}\n")
    netrc.chmod(0o600)
    started = client("--run", "--no-wait", "broken.cwl", "nothing.json", NETRC=str(netrc), WES_API_AUTH="")
    assert started.code == 0 and started.out.strip().isdigit(), started.words
    refused = client("--run", "--no-wait", "broken.cwl", "nothing.json")
    assert refused.code == 1
    assert "{'msg': 'Authorization header is missing', 'status_code': 401}" in refused.words
