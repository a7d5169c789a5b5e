"""The command of a JDL job: which program, with which arguments, in which environment; no shell is run."""

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from diracx_tasks.node.order import Program, visible
from diracx_tasks.node.refused import Refused

NOT_FOUND, ILLEGAL = "Application not found", "Illegal Job JDL"
# What belongs to the pilot.
OURS = "DIRACX_"

_job_id = re.compile(r"%j(?![A-Za-z])")
_variable = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)


def numbered(value: Any, job_id: int) -> Any:
    """A value of a description with the job's number for every `%j`."""
    if isinstance(value, str):
        return _job_id.sub(str(job_id), value)
    if isinstance(value, list):
        return [numbered(one, job_id) for one in value]
    if isinstance(value, dict):
        return {name: numbered(one, job_id) for name, one in value.items()}
    return value


def environment(
    matched: Mapping[str, Any], site: str, temporary: Path, gpus: Sequence[str] | None = None
) -> dict[str, str]:
    """The environment of a matched job: the pilot's without what is its own, DIRAC's words, the job's."""
    payload, job_id = matched["payload"], str(matched["job_id"])
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(OURS)},
        "TMPDIR": str(temporary),
        "JOBID": job_id,
        "DIRACJOBID": job_id,
        "DIRACSITE": site,
        "DIRAC_PROCESSORS": str(matched["cores"]),
        "DIRAC_WHOLENODE": str(payload.get("whole_node", "").lower() == "true"),
        **payload["environment"],
        **visible(gpus),
    }


def arguments(text: str) -> list[str]:
    """Arguments taken apart as a shell does: at blanks, with quotes and backslashes; nothing is replaced.

    Raises Refused for a quote that does not end.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise Refused(ILLEGAL, f"Arguments: {error}: {text[:80]}") from error


def program(payload: Mapping[str, Any], folder: Path, variables: Mapping[str, str]) -> Program:
    """What is to run in the job's folder, where its files are already. Raises Refused."""
    stdout = _output(folder, payload["stdout"], "StdOutput")
    stderr = _output(folder, payload["stderr"], "StdError")
    found = [_executable(payload["executable"], folder, variables), *arguments(payload["arguments"])]
    if any("\0" in word for word in (*found, *variables.values())):
        raise Refused(ILLEGAL, "Arguments and ExecutionEnvironment cannot hold NUL characters")
    return Program(found, dict(variables), str(folder), stdout, stderr)


def inside(name: str) -> bool:
    """Whether a name, or a pattern, is of something below the job's folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _executable(stated: str, folder: Path, variables: Mapping[str, str]) -> str:
    """The path of a program: a file of the job, or what PATH finds; Refused when there is none.

    DIRAC looks in PATH first; a job's own file is never what somebody else has installed here.
    """
    name = _variable.sub(lambda found: variables.get(found[1] or found[2], found[0]), stated)
    own = folder / name
    if own.is_file():
        # Sandboxes lose modes, and DIRAC's users do not set them.
        if inside(name):
            own.chmod(own.stat().st_mode | 0o755)
        return str(own)
    path = shutil.which(name, path=variables.get("PATH", os.defpath)) if "/" not in name else None
    if path is None:
        raise Refused(NOT_FOUND, f"Path to executable {name} not found")
    return path


def _output(folder: Path, name: str, what: str) -> str:
    if not inside(name) or (folder / name).is_dir():
        raise Refused(ILLEGAL, f"{what}: {name[:80]!a} is no file below the job's folder")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    return name
