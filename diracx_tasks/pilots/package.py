"""The pilot as one file that a bare node with Python runs: made with pex, of what is installed here."""

import ast
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import Distribution, version
from pathlib import Path
from tempfile import TemporaryDirectory

from diracx_tasks.core.errors import DiracXError
from diracx_tasks.pilots import contents, wheels
from diracx_tasks.pilots.contents import ROOT, Lacking
from diracx_tasks.pilots.wheels import Target

NAME = "diracx-pilot.pyz"
ENTRY = "diracx_tasks.node.one_file"
PREAMBLE = "node/unfold.py"
SECONDS = 600
# Enough to tell contents apart; it is the name of a folder.
LENGTH = 16


class NotPacked(DiracXError):
    """The pilot's file cannot be made of what is installed here."""


def build(to: Path, targets: Sequence[Target] = ()) -> str:
    """Make the file for this Python and for others, whose wheels come from an index; answers its SHA-256.

    The same content gives the same bytes. The file is there whole or not at all.
    """
    found = contents.closure(contents.packages())
    here = {name: one for name, one in found.items() if isinstance(one, Distribution)}
    _check(found)
    with TemporaryDirectory(prefix="diracx-pack-", dir=to.parent) as name:
        work = Path(name)
        house, source = work / "wheels", work / "source"
        house.mkdir()
        for one in here.values():
            wheels.rebuilt(one, house)
        for target in targets:
            wanted = contents.closure(contents.packages(), target.markers)
            wheels.for_target(wanted, target, house)
        for inside, file in contents.modules().items():
            (source / inside).parent.mkdir(parents=True, exist_ok=True)
            (source / inside).write_bytes(file.read_bytes())
        (work / "preamble.py").write_text(_preamble(here, targets, house))
        _pex(work, targets)
        made = work / NAME
        digest = sha256(made)
        made.replace(to)
    return digest


@lru_cache(1)
def content_key() -> str:
    """What tells the file that would be made here of this installation from others."""
    found = contents.closure(contents.packages())
    named = [f"{name}=={one.version}" for name, one in found.items() if isinstance(one, Distribution)]
    texts = {
        inside: hashlib.sha256(file.read_bytes()).hexdigest() for inside, file in contents.modules().items()
    }
    makers = [version("pex"), _own(Path(__file__)), _own(Path(wheels.__file__))]
    return _short(json.dumps([_here(), named, texts, makers]))


def sha256(file: Path) -> str:
    """The checksum of a file, in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def runs_on(file: Path) -> list[str]:
    """The nodes that a pilot's file is for, in words."""
    with zipfile.ZipFile(file) as packed:
        began = re.search(r"^begin\(.*\)$", packed.read("__main__.py").decode(), re.MULTILINE)
    if began is None:
        raise NotPacked(f"{file} is no file of the pilot")
    _, targets = ast.literal_eval(began[0].removeprefix("begin"))
    words = []
    for (python, system, machine), glibc in targets.items():
        least = f" (glibc {glibc[0]}.{glibc[1]})" if glibc else ""
        words.append(f"Python {python} on {system} {machine}{least}")
    return words


def _check(found: dict[str, Distribution | Lacking]) -> None:
    lacking = [one.requirement for one in found.values() if isinstance(one, Lacking)]
    if lacking:
        raise NotPacked(f"packages that the pilot needs are not installed here: {', '.join(lacking)}")


def _preamble(here: dict[str, Distribution], targets: Sequence[Target], house: Path) -> str:
    """Our beginning of the file: its platforms, and the name of its content."""
    fitting = {_here(): wheels.glibc_of(here.values())}
    fitting |= {(one.python, "linux", one.machine): one.glibc for one in targets}
    text = (ROOT / PREAMBLE).read_text()
    names = sorted(file.name for file in house.iterdir())
    sources = {inside: _own(file) for inside, file in contents.modules().items()}
    content = _short(json.dumps([text, names, sources]))
    return f"{text}\n\nbegin({content!r}, {dict(sorted(fitting.items()))!r})\n"


def _pex(work: Path, targets: Sequence[Target]) -> None:
    options = ["--pre-resolved-dists=wheels", "--sources-directory=source", "--preamble-file=preamble.py"]
    options += [f"--entry-point={ENTRY}", "--venv", "--no-pypi", f"--output-file={NAME}"]
    options += ["--python-shebang=/usr/bin/env python3", "--no-compile", "--no-emit-warnings"]
    if targets:
        options += [f"--python={sys.executable}", *(f"--complete-platform={_as_pex(one)}" for one in targets)]
    # Settings of whoever runs this are not for the file.
    stated = {name: value for name, value in os.environ.items() if not name.startswith(("PEX_", "PYTHON"))}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pex", *options, *contents.packages()],
            cwd=work,
            env={**stated, "PEX_ROOT": str(work / "pex"), "PEX_IGNORE_RCFILES": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotPacked(f"the pilot's file was not made within {SECONDS} s") from error
    if done.returncode:
        raise NotPacked(f"the pilot's file is not made: {' '.join(done.stderr.split())[-1000:]}")


def _as_pex(one: Target) -> str:
    tags = [str(tag) for tag in one.tags]
    return json.dumps({"marker_environment": one.markers, "compatible_tags": tags})


def _here() -> tuple[str, str, str]:
    return f"{sys.version_info[0]}.{sys.version_info[1]}", sys.platform, platform.machine()


def _own(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]
