"""How the pilot's one file begins: where it can run, where it is unfolded, and that nothing stays."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from diracx_tasks.node import unfold
from tests import small_pilot
from tests.small_pilot import HERE

WAITING = """
import os, sys
print(os.environ["DIRACX_PILOT_ROOT"], flush=True)
sys.stdin.readline()
os.close(int(os.environ["DIRACX_PILOT_LOCK"]))
remove(os.environ["DIRACX_PILOT_ROOT"])
"""


def run(file: Path, tmp: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a file as a pilot's is run."""
    environment = {"TMPDIR": str(tmp), "PATH": os.defpath, **more}
    command = [sys.executable, "-I", str(file)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp)


class Pilot:
    """One that is unfolded, and ends when it is told to."""

    def __init__(self, file: Path, tmp: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(file)],
            env={"TMPDIR": str(tmp), "PATH": os.defpath},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp,
        )
        assert self.process.stdout is not None
        self.root = Path(self.process.stdout.readline().strip())

    def end(self) -> None:
        self.process.communicate("\n")
        assert self.process.returncode == 0


@pytest.fixture
def tmp(tmp_path: Path) -> Path:
    """An empty TMPDIR."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that waits."""
    return small_pilot.write(tmp_path / "waiting.pyz", rest=WAITING)


def test_another_python_is_told_in_one_line_which_there_are(tmp_path: Path, tmp: Path) -> None:
    others: unfold.Targets = {("3.1", "linux", "x86_64"): (2, 28), ("3.2", "linux", "aarch64"): None}
    done = run(small_pilot.write(tmp_path / "pilot.pyz", others), tmp)
    there = "Python 3.1 on linux x86_64, Python 3.2 on linux aarch64"
    here = f"Python {HERE[0]} on {HERE[1]} {HERE[2]}"
    assert (done.returncode, done.stdout) == (unfold.WRONG_PYTHON, "")
    assert done.stderr == f"diracx-pilot: this is {here}, and the file is for {there}\n"


def test_an_older_glibc_is_told_as_well(tmp_path: Path, tmp: Path) -> None:
    done = run(small_pilot.write(tmp_path / "pilot.pyz", {HERE: (99, 1)}), tmp)
    assert done.returncode == unfold.WRONG_PYTHON
    assert done.stderr.endswith("and the file needs glibc 99.1\n")


def test_who_only_asks_whether_it_runs_here_leaves_nothing(tmp_path: Path, tmp: Path) -> None:
    done = run(small_pilot.write(tmp_path / "pilot.pyz"), tmp, DIRACX_PILOT_TRIAL="1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp.iterdir()) == []


def test_it_is_unfolded_in_a_folder_of_the_user_alone(tmp_path: Path, tmp: Path) -> None:
    said = json.loads(run(small_pilot.write(tmp_path / "pilot.pyz"), tmp, PEX_MODULE="this").stdout)["said"]
    own = tmp / f"diracx-pilot-{os.getuid()}"
    assert own.stat().st_mode & 0o777 == 0o700
    assert said["PEX_ROOT"] == said["DIRACX_PILOT_ROOT"] == str(own / "small")
    assert "PEX_MODULE" not in said


@pytest.mark.parametrize("how", ["open to others", "a link", "a file"])
def test_what_others_may_have_put_there_is_not_used(file: Path, tmp: Path, how: str) -> None:
    theirs = tmp / f"diracx-pilot-{os.getuid()}"
    if how == "a link":
        (tmp / "elsewhere").mkdir(0o700)
        theirs.symlink_to(tmp / "elsewhere")
    elif how == "a file":
        theirs.write_text("")
    else:
        theirs.mkdir()
        theirs.chmod(0o777)
    pilot = Pilot(file, tmp)
    assert pilot.root.parent != theirs and pilot.root.parent.parent == tmp
    assert pilot.root.parent.stat().st_mode & 0o777 == 0o700
    pilot.end()
    assert not pilot.root.parent.exists()


def test_pilots_share_what_is_unfolded_and_the_last_one_removes_it(file: Path, tmp: Path) -> None:
    first, second = Pilot(file, tmp), Pilot(file, tmp)
    assert first.root == second.root
    first.root.mkdir()
    first.end()
    assert second.root.exists()
    second.end()
    assert list(tmp.iterdir()) == []


def test_what_a_killed_pilot_left_goes_with_the_next_one_of_another_content(
    file: Path, tmp_path: Path, tmp: Path
) -> None:
    killed = Pilot(file, tmp)
    (killed.root / "deep").mkdir(parents=True)
    killed.process.kill()
    killed.process.communicate()
    following = Pilot(small_pilot.write(tmp_path / "new.pyz", rest=WAITING, content="other"), tmp)
    assert not killed.root.exists()
    following.end()
    assert list(tmp.iterdir()) == []


def test_a_folder_that_somebody_makes_when_the_last_pilot_has_removed_its_own_is_not_used(
    tmp_path: Path, tmp: Path
) -> None:
    killed = Pilot(small_pilot.write(tmp_path / "old.pyz", rest=WAITING, content="old"), tmp)
    killed.process.kill()
    killed.process.communicate()
    own = killed.root.parent
    # As others would if they were quick.
    rmdir = f"""
def rmdir(path, real=os.rmdir):
    real(path)
    if path == {str(own)!r}:
        os.mkdir(path)
        os.chmod(path, 0o777)
os.rmdir = rmdir
"""
    file = small_pilot.write(tmp_path / "new.pyz", rest=WAITING, before=rmdir, content="new")
    pilot = Pilot(file, tmp)
    assert own.stat().st_mode & 0o777 == 0o777
    assert pilot.root.parent != own and pilot.root.parent.stat().st_mode & 0o777 == 0o700
    pilot.end()
