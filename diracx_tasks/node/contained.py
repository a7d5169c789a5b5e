"""How cwltool runs containers on this node; not for import by the pilot."""

import os
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cwltool.job import ContainerCommandLineJob
from cwltool.process import Process

from diracx_tasks.cwl.load import walk
from diracx_tasks.node.container import remove_containers
from diracx_tasks.node.order import Order

# After cwltool has asked the engine's client to end: the client may wait for a process that does not listen.
GRACE_SECONDS = 2.0

Command = tuple[list[str], str | None]


def wants(process: Process) -> tuple[bool, bool]:
    """Whether a process or a step below it names a container, and whether it requires it."""
    inside = [process, *(step.embedded_tool for _, step in walk(process))]
    tools = (one for one in inside if one.tool["class"] == "CommandLineTool")
    found = [tool.get_requirement("DockerRequirement") for tool in tools]
    return any(docker for docker, _ in found), any(is_required for _, is_required in found)


def settings(engine: str) -> dict[str, Any]:
    """What cwltool's RuntimeContext says of an engine; '' is none."""
    return {
        "use_container": bool(engine),
        "singularity": engine in ("apptainer", "singularity"),
        "podman": engine == "podman",
        "user_space_docker_cmd": "udocker" if engine == "udocker" else None,
    }


def prepare(order: Order) -> None:
    """Give this process what its engine needs: its name, and one place for the images of all jobs."""
    if order.engine == "apptainer" and shutil.which("singularity") is None:
        # cwltool calls it by this name only.
        folder = Path(order.folder) / "engine"
        folder.mkdir()
        (folder / "singularity").symlink_to(shutil.which("apptainer") or "apptainer")
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    if order.engine in ("apptainer", "singularity") and "CWL_SINGULARITY_CACHE" not in os.environ:
        images = Path(order.bundle_file).parent / "images"
        images.mkdir(exist_ok=True)
        os.environ["CWL_SINGULARITY_CACHE"] = str(images)


def adapt(job: ContainerCommandLineJob, order: Order) -> None:
    """Have a job's container started as this node wants it, and ended when its time is over."""
    setattr(job, "create_runtime", partial(_command, job, order, job.create_runtime))  # noqa: B010 - mypy


def _command(
    job: ContainerCommandLineJob, order: Order, command: Callable[..., Command], *arguments: Any
) -> Command:
    words, _ = command(*arguments)
    if order.engine == "podman" and os.geteuid() == 0:
        # Only users without privileges have a user namespace to keep their id in.
        words = [word for word in words if word != "--userns=keep-id"]
    if order.engine == "docker" and order.ram_mb:
        # Its daemon's containers are not among the processes that the site limits to the slot.
        words += [f"--memory={order.ram_mb}m", f"--cpus={order.cores}"]
    if order.gpus:
        # cwltool states how many: docker would give the first ones to every job.
        chosen = f'--gpus="device={",".join(order.gpus)}"'
        words = [chosen if word.startswith("--gpus=") else word for word in words]
    if job.timelimit:
        _limit(job.timelimit, order)
    # Without the file's name cwltool does not wait a second, and longer, to ask what the container uses.
    return words, None


def _limit(seconds: float, order: Order) -> None:
    end = threading.Timer(seconds + GRACE_SECONDS, remove_containers, (Path(order.folder), order.engine))
    end.daemon = True
    end.start()
