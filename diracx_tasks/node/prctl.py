"""What Linux offers to keep a payload from outliving its pilot; elsewhere these calls do nothing."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36


def die_with_parent(parent: int, how: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send `how` to this process when its parent thread ends; exits if it has ended already.

    Forks do not inherit it.
    """
    _prctl(PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, daemons included."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def hide_environment() -> None:
    """Keep /proc/<pid>/environ and the memory of this process from others of the same user."""
    _prctl(PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
