"""Examples as a user submits them to a running system."""

import getpass
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples import agrees, examples, expected
from tests.system import System

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
FOLDERS = examples()
# Of the others, pi is run by the tests of the whole path, decay is as pi, fan-in has one job.
CHOSEN = ("calibration", "fused")
# Whose files the example of the grid's files names.
ALICE = "/local/user/a/alice"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running system."""
    with System(tmp_path_factory.mktemp("system") / "data") as found:
        yield found


def diracx(system: System, folder: Path, *arguments: str) -> str:
    """What the command line prints, in a folder."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DIRACX_")}
    done = subprocess.run(
        [sys.executable, "-m", "diracx_tasks.cli", *arguments],
        env={**inherited, "DIRACX_DATA": str(system.folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def submitted(system: System, folder: Path) -> int:
    """The number of the workflow that the command line has submitted."""
    return int(diracx(system, folder, "workflows", "submit", "workflow.cwl", "inputs.yaml", "-o", "id"))


def test_examples_give_what_they_say_and_fused_tools_are_one_job(system: System) -> None:
    numbers = {name: submitted(system, FOLDERS[name]) for name in CHOSEN}
    for name, number in numbers.items():
        ended = system.wait(number)
        assert ended["status"] == "Done", json.dumps(ended)
        agrees(expected(FOLDERS[name]), ended["outputs"])
    # Two texts of three tools each, and what puts them together.
    assert len(system.jobs(numbers["fused"])) == 3


def test_files_of_the_grid_are_read_and_written_by_their_names(system: System, tmp_path: Path) -> None:
    folder, user = tmp_path / "grid-files", getpass.getuser()
    home = f"/local/user/{user[0]}/{user}"
    shutil.copytree(FOLDERS["grid-files"], folder)
    for path in folder.iterdir():
        if path.is_file():
            path.write_text(path.read_text().replace(ALICE, home))
    diracx(system, folder, "data", "put", "runs/", f"{home}/runs")
    ended = system.wait(submitted(system, folder))
    assert ended["status"] == "Done", json.dumps(ended)
    agrees(expected(folder), ended["outputs"])
    diracx(system, folder, "data", "get", f"{home}/results/summary.txt", "fetched.txt")
    assert (folder / "fetched.txt").read_text() == "2.500\n15.000\n"
