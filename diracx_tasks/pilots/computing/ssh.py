"""Computing elements behind OpenSSH: the other kinds, with a shell on the host that `SSHHost` names.

One connection serves all commands until a minute after the last (ControlMaster). The host must be known by
its key (DIRACX_SSH_KNOWN_HOSTS); we are known by the key in the file DIRACX_SSH_KEY or `SSHKey`.
"""

import os
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.settings import settings
from diracx_tasks.pilots.computing.htcondor import HTCondor
from diracx_tasks.pilots.computing.local import Local
from diracx_tasks.pilots.computing.options import SshOptions
from diracx_tasks.pilots.computing.shell import Done, fed
from diracx_tasks.pilots.computing.slurm import Slurm
from diracx_tasks.pilots.elements import ComputingElement

# ssh's own: everything else is the exit code of what ran there.
NOT_REACHED = 255
CONNECT_SECONDS = 20
KEPT_SECONDS = 60


class There:
    """A shell on another host."""

    def __init__(self, options: SshOptions) -> None:
        # ssh takes the first of two values: the element's options cannot make it trust any host.
        fixed = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": _file(settings().ssh_known_hosts, "DIRACX_SSH_KNOWN_HOSTS"),
            "GlobalKnownHostsFile": "none",
            "IdentityFile": _file(options.SSHKey or settings().ssh_key, "DIRACX_SSH_KEY or SSHKey"),
            "IdentitiesOnly": "yes",
        }
        usual = {
            "ConnectTimeout": str(CONNECT_SECONDS),
            "ServerAliveInterval": "15",
            "ControlMaster": "auto",
            "ControlPath": f"{_sockets()}/%C",
            "ControlPersist": str(KEPT_SECONDS),
            "LogLevel": "ERROR",
        }
        user = ["-l", options.SSHUser] if options.SSHUser else []
        where = [*user, "-p", str(options.SSHPort), options.SSHHost]
        self._command = ["ssh", "-F", "none", "-T", *_o(fixed), *options.SSHOptions, *_o(usual), *where, "sh"]
        self._host = options.SSHHost

    def run(self, script: str, *, seconds: float) -> Done:
        """Run a script there; `away` when the host does not answer, or is not the one that is known."""
        done = fed(self._command, script, seconds)
        if done.code != NOT_REACHED or done.away:
            return done
        return done._replace(away=f"ssh to {self._host}: {' '.join(done.err.split())}")


def over_ssh(name: str, options: Mapping[str, Any]) -> ComputingElement:
    """The element of a host, by the `BatchSystem` that runs pilots there: host (none), slurm or htcondor."""
    stated = SshOptions.of(name, options)
    there = There(stated)
    match stated.BatchSystem:
        case "slurm":
            return Slurm(name, options, there)
        case "htcondor" | "condor":
            return HTCondor(name, options, there)
        case _:
            return Local(name, options, there)


def _o(options: Mapping[str, str]) -> list[str]:
    return [f"-o{name}={value}" for name, value in options.items()]


def _file(path: str, what: str) -> str:
    if not path:
        raise SettingsError(f"computing elements of the kind ssh need {what}")
    if not Path(path).is_file():
        raise SettingsError(f"{what}: there is no file {path}")
    return path


@lru_cache
def _sockets() -> str:
    """A folder of our own: a socket's whole path has 107 characters at most, and only we may use it."""
    folder = Path(tempfile.gettempdir(), f"diracx-ssh-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise SettingsError(f"{folder} must be a folder that only this user may use")
    return str(folder)
