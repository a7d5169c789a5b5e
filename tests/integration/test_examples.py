"""Examples as a user submits them to a running system."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples import agrees, examples, expected
from tests.system import System

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
# Of the others, pi is run by the tests of the whole path, decay is as pi, fan-in has one job.
CHOSEN = ("calibration", "fused")


def submitted(system: System, folder: Path) -> int:
    """The number of the workflow that the command line has submitted."""
    command = [sys.executable, "-m", "diracx_tasks.cli", "workflows", "submit"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DIRACX_")}
    done = subprocess.run(
        [*command, "workflow.cwl", "inputs.yaml", "-o", "id"],
        env={**inherited, "DIRACX_DATA": str(system.folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_examples_give_what_they_say_and_fused_tools_are_one_job(tmp_path: Path) -> None:
    folders = examples()
    with System(tmp_path / "data") as system:
        numbers = {name: submitted(system, folders[name]) for name in CHOSEN}
        for name, number in numbers.items():
            ended = system.wait(number)
            assert ended["status"] == "Done", json.dumps(ended)
            agrees(expected(folders[name]), ended["outputs"])
        # Two texts of three tools each, and what puts them together.
        assert len(system.jobs(numbers["fused"])) == 3
