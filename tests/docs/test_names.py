"""Settings, tasks, files and tests that the documentation names are there."""

import re
from pathlib import Path

import pytest

from diracx_tasks.core.plugins import load_tasks
from diracx_tasks.core.settings import Settings
from diracx_tasks.engine.declared import REGISTRY
from tests.architecture.source import ROOT, sources
from tests.docs.pages import pages

MAKE = re.compile(r"(?:`|^ {4}(?:\$ )?)make ([a-z]+)", re.MULTILINE)
SOURCES = "\n".join(one.text for one in sources("diracx_tasks", "diracx_api", "tests"))
MAKEFILE = (ROOT / "Makefile").read_text()
SETTINGS = {f"DIRACX_{name.upper()}" for name in Settings.model_fields}
VARIABLE = re.compile(r"\bDIRACX_[A-Z0-9_]*[A-Z0-9]\b(?!\*|_)")
PATH = re.compile(r"`((?:diracx_tasks|diracx_api|tests|workflows|deploy|docs)/[\w./-]+)`")
# What a page makes up as an example, and DiracX's own setting.
OTHERS = {
    "DIRACX_FACTORY_OS_GLOBAL_PREFIX",
    "diracx_tasks/core/migrations/versions/0002_notes_on_jobs.py",
    "jobs.forget_notes",
}
TASK = re.compile(r"`([a-z]+\.[a-z_]+)`")


@pytest.fixture(scope="module")
def tasks() -> set[str]:
    """All tasks that this package declares."""
    load_tasks()
    return set(REGISTRY)


def is_there(path: str) -> bool:
    """Whether there is such a file, in the project or in the package."""
    return any((folder / path).exists() for folder in (ROOT, ROOT / "diracx_tasks"))


def is_code(name: str) -> bool:
    """Whether there is such a module or function."""
    return is_there(f"{name.replace('.', '/')}.py") or f"def {name.partition('.')[2]}(" in SOURCES


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_what_a_page_names_is_there(page: Path, tasks: set[str]) -> None:
    text = page.read_text()
    unknown = {name for name in VARIABLE.findall(text) if name not in SETTINGS and name not in SOURCES}
    unknown |= {name for name in PATH.findall(text) if not is_there(name)}
    unknown |= {f"make {one}" for one in MAKE.findall(text) if f"\n{one}: " not in MAKEFILE}
    subjects = {name.partition(".")[0] for name in tasks}
    named = {name for name in TASK.findall(text) if name.partition(".")[0] in subjects}
    # Functions and modules are named so as well.
    unknown |= {name for name in named - tasks if not is_code(name)}
    assert unknown - OTHERS == set()
