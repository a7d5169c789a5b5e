"""What is packed into the pilot's one file, and wheels made anew of what is installed."""

import os
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from diracx_tasks.core.errors import BadRequest
from diracx_tasks.pilots import contents, package, wheels
from diracx_tasks.pilots.contents import Lacking
from diracx_tasks.pilots.wheels import Target
from tests.processes import ROOT

OF_SERVERS = {"sqlalchemy", "celery", "kombu", "fastapi", "uvicorn", "redis", "boto3", "alembic", "pydantic"}
OF_NODES = {"cwltool", "psutil", "zstandard", "urllib3", "click", "mini-racer"}


def test_what_nodes_need_is_in_and_what_servers_need_stays_out() -> None:
    found = contents.closure(contents.packages())
    assert found.keys() >= OF_NODES
    assert OF_SERVERS & found.keys() == set()
    assert [one for one in found.values() if isinstance(one, Lacking)] == []


def test_all_that_the_pilot_imports_of_ours_is_in(tmp_path: Path) -> None:
    for inside, file in contents.modules().items():
        (tmp_path / inside).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / inside).write_bytes(file.read_bytes())
    names = [one.removesuffix(".py").replace("/", ".") for one in contents.modules() if "__init__" not in one]
    lines = [f"import {name}" for name in names if name.startswith("diracx_tasks.node.")]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*lines, "import sys; print(*sys.modules)"])],
        env={"PYTHONPATH": str(tmp_path), "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert OF_SERVERS & loaded == set()
    assert {name for name in loaded if name.startswith("diracx_tasks.") and name.count(".") > 1} <= set(names)


def test_a_wheel_made_anew_is_the_same_each_time_and_can_be_installed(tmp_path: Path) -> None:
    made = []
    for number in ("first", "second"):
        (tmp_path / number).mkdir()
        made.append(wheels.rebuilt(distribution("psutil"), tmp_path / number))
    assert made[0].name == made[1].name and made[0].read_bytes() == made[1].read_bytes()
    with zipfile.ZipFile(made[0]) as wheel:
        names = wheel.namelist()
        assert wheel.testzip() is None
        record = [name for name in names if name.endswith(".dist-info/RECORD")]
        lines = wheel.read(record[0]).decode().splitlines()
    assert len(lines) == len(names) and not any("INSTALLER" in name or ".pyc" in name for name in names)


def test_the_wheels_of_a_target_are_those_of_its_python_and_of_an_older_glibc() -> None:
    tags = {str(tag) for tag in Target("3.12", "manylinux_2_28_x86_64").tags}
    assert {"cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-manylinux2014_x86_64"} <= tags
    assert {"cp36-abi3-manylinux_2_12_x86_64", "py3-none-any"} <= tags
    assert not {"cp311-cp311-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_31_x86_64"} & tags


@pytest.mark.parametrize(
    "target, words",
    [
        (Target("3.12", "linux_x86_64"), "linux_x86_64 is no platform: it looks like manylinux_2_28_x86_64"),
        (Target("3", "manylinux2014_x86_64"), "3 is no version of Python: it looks like 3.12"),
    ],
)
def test_what_is_no_target_is_said(target: Target, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        _ = target.version, target.tags


def test_a_package_that_is_used_from_its_source_cannot_be_packed() -> None:
    class Editable:
        """An installed package as pip notes it."""

        files, metadata, version = (), {"Name": "ours"}, "1"

        def read_text(self, name: str) -> str:
            return {"WHEEL": "Tag: py3-none-any", "direct_url.json": '{"dir_info": {"editable": true}}'}[name]

    with pytest.raises(BadRequest, match="the package ours was not installed from a wheel"):
        wheels.tags_of(Editable())  # type: ignore[arg-type]  # of it only these are asked


def test_another_source_is_another_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = package.content_key()
    changed = tmp_path / "pilot.py"
    changed.write_text("print('another')\n")
    found = {**contents.modules(), "diracx_tasks/node/pilot.py": changed}
    monkeypatch.setattr(contents, "modules", lambda: found)
    package.content_key.cache_clear()
    try:
        assert package.content_key() != before
    finally:
        package.content_key.cache_clear()


def test_the_command_says_what_it_cannot_do(tmp_path: Path) -> None:
    to = tmp_path / "pilot.pyz"
    command = [sys.executable, "-m", "diracx_tasks.cli", "pilots", "pack", "-o", str(to)]
    done = subprocess.run(
        [*command, "--python=3.12", "--platform=windows"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2 and not to.exists()
    assert done.stderr == "diracx: windows is no platform: it looks like manylinux_2_28_x86_64\n"
    assert list(tmp_path.iterdir()) == []
