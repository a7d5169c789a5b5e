"""The pilot's real file on a node without any package: it runs a CWL tool and a JDL job of a system."""

import hashlib
import os
import subprocess
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from diracx_tasks.auth.tokens import issue_pilot
from diracx_tasks.core.settings import settings
from diracx_tasks.pilots import package, pilot_file
from diracx_tasks.pilots.queues import Queue
from diracx_tasks.pilots.script import script
from tests.builders import environment
from tests.integration.test_jdl_path import User
from tests.system import System

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
SITE = "DIRAC.Bare.here"
TOOL = """cwlVersion: v1.2
$namespaces: {dirac: "https://diracgrid.org/cwl#"}
class: CommandLineTool
hints: {"dirac:Job": {tags: bare}}
requirements: {InlineJavascriptRequirement: {}}
baseCommand: [sh, -c, 'cat "$0"; env']
inputs:
  words: {type: File, inputBinding: {position: 1}}
outputs:
  said: {type: stdout}
  shouted:
    type: string
    outputBinding: {outputEval: '$(inputs.words.basename.toUpperCase())'}
stdout: said.txt
"""
CONTENT = {"class": "File", "basename": "hey.txt", "contents": "hello from a file"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything of these tests is."""
    return tmp_path_factory.mktemp("one-file")


@pytest.fixture(scope="module")
def packed() -> Path:
    """The file of this source: to make it takes long, so it is kept until the source changes."""
    kept = Path(tempfile.gettempdir()) / f"diracx-tests-{os.getuid()}"
    kept.mkdir(0o700, exist_ok=True)
    assert kept.stat().st_uid == os.getuid() and not kept.is_symlink()
    with environment(DIRACX_DATA=str(kept)):
        return pilot_file.current().path


@pytest.fixture(scope="module")
def user(folder: Path, packed: Path) -> Iterator[User]:
    """The user of a running system that has the file; its own pilots have not the tag of these jobs."""
    with System(folder / "data", {"DIRACX_PILOT_FILE": str(packed)}, "--slots", "1") as system:
        (folder / "home").mkdir()
        yield User(system, folder / "home")


@pytest.fixture(scope="module")
def python(folder: Path) -> str:
    """A Python without any package."""
    venv.create(folder / "bare", with_pip=False, symlinks=True)
    found = str(folder / "bare" / "bin" / "python3")
    clean = subprocess.run([found, "-c", "import psutil"], capture_output=True, text=True, check=False)
    assert "No module named 'psutil'" in clean.stderr
    return found


def test_a_bare_node_runs_a_tool_and_a_job_with_sandboxes_and_is_left_as_it_was(
    user: User, packed: Path, python: str, folder: Path
) -> None:
    data = user.folder / "in.txt"
    data.write_text("hello\n")
    (user.folder / "run.sh").write_text("#!/bin/sh\ntr a-z A-Z < in.txt\nenv\n")
    pfn = user.sandbox(data, user.folder / "run.sh")
    job_id = user.submits(
        f'Executable = "run.sh"; InputSandbox = {{"{pfn}"}}; OutputSandbox = {{"std.out"}};Tags = {{"bare"}};'
    )
    workflow_id = user.system.submit({"workflow.cwl": TOOL}, {"words": CONTENT})
    node = folder / "node"
    for name in ("home", "scratch"):
        (node / name).mkdir(parents=True)
    text, token = started(user, packed, python)
    (node / "script").write_text(text)
    answer = urllib3.request("GET", f"{user.url}/api/pilots/{package.NAME}")
    assert (answer.status, hashlib.sha256(answer.data).hexdigest()) == (200, packed.stem)
    done = subprocess.run(
        ["sh", str(node / "script")],
        env={
            "PATH": os.defpath,
            "HOME": str(node / "home"),
            "TMPDIR": str(node / "scratch"),
            "DIRACX_TOKEN": token,
            "PYTHONPATH": "/of/the/node",
        },
        cwd=node,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    job, workflow = user.ended(job_id), user.system.wait(workflow_id)
    assert job["Status"] == "Done", f"{job}\n{done.stderr}"
    assert workflow["status"] == "Done", f"{workflow}\n{done.stderr}"
    assert workflow["outputs"]["shouted"] == "HEY.TXT"
    said = user.fetched(job_id)["std.out"]
    assert said.startswith("HELLO\n")
    assert "DIRACSITE=DIRAC.Bare.here\n" in said
    assert not {"PEX_ROOT", "PEX", "PYTHONPATH", "VIRTUAL_ENV", "DIRACX_TOKEN"} & names(said)
    assert [*(node / "scratch").iterdir(), *(node / "home").iterdir()] == []


def started(user: User, packed: Path, python: str) -> tuple[str, str]:
    """A script that ends when there is nothing to do, and the token of its pilot."""
    options = {"CEType": "local", "PilotPython": python}
    queue = Queue(SITE, "bare", "short", ram_mb=2000, tags=("bare",), ce_options=options)
    stated = {"DIRACX_DATA": str(user.system.folder), "DIRACX_URL": user.url}
    with environment(**stated, DIRACX_PILOT_FILE=str(packed)):
        text = script(settings().vo, queue, "one-file", "").text
        token = issue_pilot(settings().vo, "one-file", seconds=600)
    return text.replace("--idle-seconds 300", "--idle-seconds 4"), token


def names(environment: str) -> set[str]:
    """The variables that `env` prints."""
    return {line.partition("=")[0] for line in environment.splitlines()}
