"""A shell here or elsewhere: runs a script that comes on its standard input, within a time."""

import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple, Protocol

# What else the server's environment holds is not for pilots: batch systems hand it on to them.
PASSED = ("HOME", "LANG", "LOGNAME", "PATH", "TZ", "USER", "SLURM_CONF", "CONDOR_CONFIG")
MOST_OUTPUT = 64 << 20


class Done(NamedTuple):
    """What a script printed; `away` says why it did not run, or not to its end."""

    code: int
    out: str
    err: str
    away: str = ""


class Shell(Protocol):
    """Somewhere to run scripts."""

    def run(self, script: str, *, seconds: float) -> Done:
        """Run a script with `sh`, from the user's home; after so many seconds it is given up."""


class Here:
    """The shell of this machine, with little of this process's environment."""

    def run(self, script: str, *, seconds: float) -> Done:
        """Run a script here; `away` only when it took too long."""
        return fed(["sh"], script, seconds)


def fed(command: Sequence[str], script: str, seconds: float) -> Done:
    """Run a command with a script on its standard input; after so many seconds it is killed."""
    # Files instead of pipes: what a command leaves running in the background does not hold us up.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        environment = _environment()
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            env=environment,
            cwd=environment["HOME"],
            start_new_session=True,
        )
        away = ""
        try:
            process.communicate(script.encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            away = f"no answer within {seconds:g} s"
        finally:
            _end(process)
        return Done(process.returncode, _read(out), _read(err), away)


def whole(script: str) -> str:
    """A script of which nothing runs unless all of it has arrived: shells run what they have."""
    return f"{{\n{script}\n}}\n"


def here_document(text: str) -> str:
    """A text as the standard input of the command before it, without any expansion."""
    end = f"END-{secrets.token_hex(16)}"
    return f"<<'{end}'\n{text}{'' if text.endswith(chr(10)) else chr(10)}{end}\n"


def _environment() -> Mapping[str, str]:
    found = {name: os.environ[name] for name in PASSED if name in os.environ}
    home = found.get("HOME", "")
    return {"PATH": os.defpath, **found, "HOME": home if os.path.isdir(home) else "/", "LC_ALL": "C"}


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(MOST_OUTPUT).decode(errors="replace")
