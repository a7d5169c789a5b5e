"""Containers on this node: which engine works, which processes need one, and their end."""

import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from cwltool.process import Process

from diracx_tasks.cwl.load import walk

PROBES = {
    "docker": ("docker", "info"),
    "podman": ("podman", "info"),
    # Apptainer installs this name too, and cwltool calls no other.
    "singularity": ("singularity", "--version"),
}


@lru_cache
def working_engine() -> str | None:
    """The first engine on PATH that answers; None if the node has none."""
    return next((engine for engine, probe in PROBES.items() if _answers(probe)), None)


def wants(process: Process) -> tuple[bool, bool]:
    """Whether a process or a step below it names a container, and whether it requires it."""
    inside = [process, *(step.embedded_tool for _, step in walk(process))]
    tools = (one for one in inside if one.tool["class"] == "CommandLineTool")
    found = [tool.get_requirement("DockerRequirement") for tool in tools]
    return any(docker for docker, _ in found), any(is_required for _, is_required in found)


def kill_containers(cid_folder: Path) -> None:
    """End the docker containers whose ids are in the folder: their processes are not below ours."""
    for cid in cid_folder.glob("*.cid"):
        _answers(("docker", "kill", cid.read_text().strip()))


def _answers(command: tuple[str, ...]) -> bool:
    if shutil.which(command[0]) is None:
        return False
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
