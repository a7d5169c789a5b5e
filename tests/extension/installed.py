"""Real packages, installed with pip into folders that processes get as their PYTHONPATH."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent
PROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "2.3"

[project.entry-points."diracx.tasks"]
{name} = "{module}"

[tool.hatch.build.targets.wheel]
packages = ["{name}"]
"""


@pytest.fixture(scope="session")
def muon(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of processes that have the package of this folder."""
    return install(SOURCE, tmp_path_factory.mktemp("muon"))


def a_package(folder: Path, name: str, text: str, module: str | None = None) -> dict[str, str]:
    """The environment of processes that have a package with a module of this text."""
    source = folder / f"{name}-source"
    (source / name).mkdir(parents=True)
    (source / "pyproject.toml").write_text(PROJECT.format(name=name, module=module or f"{name}.tasks"))
    (source / name / "__init__.py").touch()
    (source / name / "tasks.py").write_text(text)
    return install(source, folder / name)


def install(source: Path, target: Path) -> dict[str, str]:
    """The environment of processes that have the package of a source folder; no network is asked."""
    quiet = ("--quiet", "--disable-pip-version-check", "--root-user-action=ignore", "--no-index")
    offline = ("--no-deps", "--no-build-isolation", "--target", str(target))
    command = [sys.executable, "-m", "pip", "install", *quiet, *offline, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(target), before] if before else [str(target)])}
