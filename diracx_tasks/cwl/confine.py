"""What a process gives up before it evaluates strangers' expressions; none of it can be taken back."""

import ctypes
import os
import resource
import signal
import struct
from contextlib import suppress

from schema_salad import ref_resolver
from schema_salad.exceptions import ValidationException
from schema_salad.fetcher import DefaultFetcher

from diracx_tasks.cwl import syscalls

MAX_DATA = 3 << 30
MAX_CPU_SECONDS = 600
MAX_THREADS = 16
NOBODY = 65534
CLONE_NEWUSER = 0x10000000
SPACES = {"network": 0x40000000, "processes": 0x20000000 | 0x08000000}
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
CAPABILITIES_VERSION = 0x20080522


class NoFetcher(DefaultFetcher):
    """Knows CWL's own schemas only: for the loaders that cwltool makes without asking for ours."""

    def fetch_text(self, url: str, content_types: list[str] | None = None) -> str:
        """A text of the package."""
        if isinstance(text := self.cache.get(url), str):
            return text
        raise ValidationException(f"{url} is not among the files sent with the workflow")

    def check_exists(self, url: str) -> bool:
        """Whether it is of the package."""
        return url in self.cache


def leave_spaces() -> dict[str, bool]:
    """Which namespaces the children of this process have of their own; for a process of one thread.

    Not root: in a user namespace, which many containers forbid.
    """
    setattr(ref_resolver, "DefaultFetcher", NoFetcher)  # noqa: B010 - mypy: the module does not export it
    libc = _libc()
    if os.geteuid():
        libc.unshare(CLONE_NEWUSER)
    held = {name: libc.unshare(flag) == 0 for name, flag in SPACES.items()}
    if held["processes"]:
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.close(writing)
            _be_first(reading)
        os.close(reading)
    return held


def confine(folder: int, user: int) -> dict[str, bool]:
    """What this process has given up: its user, files other than the open ones, most system calls.

    `folder` is an open, empty one that becomes the root, and `user` one that nobody else is. Memory, CPU time
    and threads have limits. What is imported later must have been imported before.
    """
    held = {"files": _leave_files(folder), "user": _become(user)}
    if held["user"]:
        # The kernel counts threads per user: an isolate without its own would share them with the server.
        _limit(resource.RLIMIT_NPROC, MAX_THREADS)
    else:
        held["user"] = _become(NOBODY)
    _give_up_rights()
    _limit(resource.RLIMIT_DATA, MAX_DATA)
    _limit(resource.RLIMIT_CPU, MAX_CPU_SECONDS)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    # What is open stays open.
    _limit(resource.RLIMIT_NOFILE, 0)
    return held | {"calls": syscalls.refuse_others()}


def _leave_files(folder: int) -> bool:
    os.fchdir(folder)
    # A folder that was open before leads out of the new root.
    os.close(folder)
    # The kernel has no name for a folder that is gone.
    setattr(os, "getcwd", lambda: "/")  # noqa: B010 - mypy: a function of the module
    try:
        os.chroot(".")
        os.chdir("/")
    except OSError:
        return False
    return True


def _become(user: int) -> bool:
    """Whether this process is that user now; only root may change."""
    try:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError:
        return False
    return True


def _give_up_rights() -> None:
    libc = _libc()
    nothing = struct.pack("=6I", *[0] * 6)
    libc.capset(struct.pack("=Ii", CAPABILITIES_VERSION, 0), nothing)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    # After the change of user, which would undo it.
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _be_first(above: int) -> None:
    """The first process of a namespace, until nobody holds the other end: then all others end as well."""
    for descriptor in range(3):
        with suppress(OSError):
            os.close(descriptor)
    os.read(above, 1)
    os._exit(0)


def _limit(which: int, most: int) -> None:
    resource.setrlimit(which, (most, most))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
