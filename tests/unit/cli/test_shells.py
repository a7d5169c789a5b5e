"""`diracx completion`: the scripts that it prints have real shells complete with TAB."""

import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.servers.programs import need
from tests.unit.cli.conftest import Run
from tests.unit.cli.server import Server
from tests.unit.cli.test_known import known

__all__ = ["known"]
SECONDS = 60.0
LINE = "diracx jobs show 7"


@pytest.fixture
def programs(known: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the PATH that has `diracx`, and a home without settings of any shell."""
    folder = Path("bin").absolute()
    folder.mkdir()
    (folder / "diracx").write_text(f'#!/bin/sh\nexec {sys.executable} -m diracx_tasks.cli "$@"\n')
    (folder / "diracx").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(folder.parent))
    return folder


def shown(command: list[str]) -> str:
    """What a shell prints that must have nothing to complain of."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def typed(command: list[str], lines: list[str], *awaited: str) -> str:
    """What a terminal shows when something is typed into a shell, once all that is awaited is there."""
    terminal, theirs = os.openpty()
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "120"}
    streams: Any = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    said, until = "", time.monotonic() + SECONDS
    with subprocess.Popen(command, env=environment, start_new_session=True, **streams) as process:
        os.close(theirs)
        os.write(terminal, "\n".join(lines).encode())
        try:
            while not all(words in said for words in awaited):
                assert time.monotonic() < until, said
                if select.select([terminal], [], [], 0.2)[0]:
                    said += os.read(terminal, 65536).decode(errors="replace")
        finally:
            os.close(terminal)
            process.kill()
    return said


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(diracx: Run, shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    script = diracx("completion", shell).stdout

    assert f"_DIRACX_COMPLETE={shell}_complete" in script
    assert diracx("completion").stdout == script


def test_a_shell_that_is_not_known_is_asked_for(diracx: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert "say which shell: bash, zsh, fish" in diracx("completion").stderr


def test_bash_completes_numbers_with_the_script(diracx: Run, programs: Path) -> None:
    Path("script").write_text(diracx("completion", "bash").stdout)
    words = "source ./script; COMP_WORDS=(diracx jobs show 7) COMP_CWORD=3"
    assert shown(["bash", "-c", f"{words}; _diracx_completion diracx; echo ${{COMPREPLY[@]}}"]) == "70 71\n"


def test_zsh_completes_numbers_with_the_script_and_says_what_they_are(diracx: Run, programs: Path) -> None:
    folder = Path(".zfunc")
    folder.mkdir()
    (folder / "_diracx").write_text(diracx("completion", "zsh").stdout)
    start = ["fpath+=~/.zfunc; autoload -Uz compinit; compinit -u", f"{LINE}\t"]
    said = typed([need("zsh"), "-f", "-i"], start, "70 ", "71 ")
    assert "Waiting" in said or "Running" in said


def test_fish_completes_numbers_with_the_script_and_says_what_they_are(diracx: Run, programs: Path) -> None:
    folder = Path(".config/fish/completions")
    folder.mkdir(parents=True)
    (folder / "diracx.fish").write_text(diracx("completion", "fish").stdout)
    said = shown([need("fish"), "-c", f"complete -C '{LINE}'"])
    assert [line.split("\t")[0] for line in said.splitlines()] == ["70", "71"]
    assert "\t" in said
