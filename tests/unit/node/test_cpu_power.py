"""How fast a core is, and that it is measured once a day."""

import os
import tempfile
import time
from pathlib import Path

import pytest

from diracx_tasks.node import cpu_power

PART = 10_000


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the measured power is kept."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def known(folder: Path) -> Path:
    """The file that keeps it."""
    (found,) = folder.iterdir()
    return found


def test_a_core_has_a_power() -> None:
    assert 1 < cpu_power.measured(20_000) < 1000


def test_what_was_measured_is_known_for_a_day(folder: Path) -> None:
    first = cpu_power.cpu_power(PART)
    file = known(folder)
    file.write_text(file.read_text().replace(str(first), "7.25"))
    assert cpu_power.cpu_power(PART) == 7.25
    os.utime(file, (time.time() - 90_000,) * 2)
    assert cpu_power.cpu_power(PART) != 7.25


def test_another_nodes_number_does_not_count(folder: Path) -> None:
    first = cpu_power.cpu_power(PART)
    file = known(folder)
    file.write_text(file.read_text().replace(str(first), "7.25").replace("[", '["other", '))
    assert cpu_power.cpu_power(PART) != 7.25


@pytest.mark.parametrize("what", ["link", "writable", "rubbish", "folder", "pipe"])
def test_a_file_that_others_may_have_made_does_not_count(folder: Path, what: str) -> None:
    first = cpu_power.cpu_power(PART)
    file = known(folder)
    file.write_text("rubbish" if what == "rubbish" else file.read_text().replace(str(first), "7.25"))
    if what == "link":
        file.rename(folder / "another")
        file.symlink_to(folder / "another")
    elif what == "writable":
        file.chmod(0o666)
    elif what == "folder":
        file.unlink()
        file.mkdir()
    elif what == "pipe":
        file.unlink()
        os.mkfifo(file)
    assert 1 < cpu_power.cpu_power(PART) != 7.25
