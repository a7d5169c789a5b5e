"""Containers on this node: which engine runs them, and their end. Without cwltool, for the pilot."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Those first that need no daemon and no privileges.
ENGINES = ("apptainer", "singularity", "podman", "docker", "udocker")
AUTO = "auto"
NONE = "none"
TAG = "container"
# Of a root file system that consists of the machine's own programs.
LINKS = ("bin", "sbin", "lib", "lib32", "lib64")
FOLDERS = ("usr", "proc", "sys", "dev", "etc", "tmp", "run", "var/tmp", "root", "home")
TRIAL_SECONDS = 120
SECONDS = 30


def chosen(wanted: str = AUTO) -> str:
    """The engine that containers run with here: the wanted one, or the first; '' if it cannot run any."""
    engines = ENGINES if wanted == AUTO else (wanted,)
    return next((engine for engine in engines if engine in ENGINES and works(engine)), "")


def works(engine: str) -> bool:
    """Whether an engine really runs containers for this user: it is tried, and that may take seconds."""
    if shutil.which(engine) is None:
        return False
    if engine == "docker":
        return _succeeds("docker", "info")
    if engine == "udocker":
        # It brings its tools from the network when it is used for the first time.
        return _succeeds("udocker", "install")
    with _own_programs() as root:
        if engine == "podman":
            options = ("--rm", "--network=none", "--volume=/usr:/usr:ro", "--rootfs")
            return _succeeds("podman", "run", *options, str(root), "/bin/true")
        # As cwltool calls them: with a user namespace where that is possible.
        ways = [("--userns",), ()]
        command = ("--contain", "--bind=/usr", str(root), "/bin/true")
        return any(_succeeds(engine, "exec", *way, *command) for way in ways)


def tags(engine: str) -> tuple[str, ...]:
    """What a node with this engine offers to jobs."""
    return (TAG, f"{TAG}:{engine}") if engine else ()


def remove_containers(folder: Path, engine: str) -> None:
    """End the containers whose ids are in the folder, and forget them; harmless for those that are gone.

    Docker's are not below our processes; of podman's something stays behind when its processes are killed.
    """
    if engine not in ("docker", "podman"):
        return
    for file in folder.glob("*.cid"):
        if number := file.read_text().strip():
            # Podman's `rm --force` alone asks politely first, for ten seconds.
            _succeeds(engine, "kill", number, seconds=SECONDS)
            _succeeds(engine, "rm", "--force", number, seconds=SECONDS)
        file.unlink(missing_ok=True)


@contextmanager
def _own_programs() -> Iterator[Path]:
    """A root file system for a trial; `/usr` has to be mounted into it."""
    with tempfile.TemporaryDirectory(prefix="container-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True)
        for link in LINKS:
            if os.path.islink(f"/{link}"):
                (root / link).symlink_to(os.readlink(f"/{link}"))
        yield root


def _succeeds(*command: str, seconds: float = TRIAL_SECONDS) -> bool:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
