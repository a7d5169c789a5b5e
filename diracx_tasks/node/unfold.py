"""How the pilot's one file begins: does it run here, and where is it unfolded. Standard library only.

`pilots/package.py` writes this text into the file, before what unfolds it, and a call of `begin`.
"""

import fcntl
import os
import platform
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from typing import Dict, Optional, Tuple  # noqa: UP035

ROOT, LOCK = "DIRACX_PILOT_ROOT", "DIRACX_PILOT_LOCK"
# Set by who only wants to know whether it can run here.
TRIAL = "DIRACX_PILOT_TRIAL"
SUFFIX = ".lock"
WRONG_PYTHON = 78
# Python, system and machine: the oldest glibc; None when there are no compiled parts.
Targets = Dict[Tuple[str, str, str], Optional[Tuple[int, int]]]  # noqa: UP006, UP045 - for old Pythons' words


def begin(content: str, targets: "Targets") -> None:
    """Go on with the file when it can run here; `targets` are what it is for, with the oldest glibc of each.

    What is unfolded is shared by all pilots of this user with this content on this node. What pilots that
    were killed have left is removed.
    """
    # The file may be begun anew, by another of the same Pythons.
    if os.environ.get(ROOT, "").endswith(content):
        return
    # No newer syntax here: old Pythons are to say it as well.
    words = obstacle(targets)
    if words:
        sys.stderr.write(f"diracx-pilot: {words}\n")
        raise SystemExit(WRONG_PYTHON)
    for name in [name for name in os.environ if name.startswith("PEX_")]:
        del os.environ[name]
    if os.environ.pop(TRIAL, ""):
        raise SystemExit(0)
    top = _own_folder()
    with suppress(FileNotFoundError):
        for name in os.listdir(top):
            if name.endswith(SUFFIX) and name != content + SUFFIX:
                remove(os.path.join(top, name[: -len(SUFFIX)]))
    root, lock = _locked(content)
    os.set_inheritable(lock, True)
    os.environ.update({ROOT: root, LOCK: str(lock), "PEX_ROOT": root, "PEX_PYTHON": sys.executable})


def obstacle(targets: "Targets") -> str:
    """Why the file cannot run on this node, in one line; empty when it can."""
    here = (f"{sys.version_info[0]}.{sys.version_info[1]}", sys.platform, platform.machine())
    if here not in targets:
        there = ", ".join(_words(one) for one in sorted(targets))
        return f"this is {_words(here)}, and the file is for {there}"
    library, version = platform.libc_ver()
    least = targets[here]
    if least and (library != "glibc" or _numbers(version) < least):
        found = " ".join((library, version)).strip() or "another C library"
        return f"this node has {found}, and the file needs glibc {least[0]}.{least[1]}"
    return ""


def remove(root: str) -> bool:
    """Remove what was unfolded, unless a pilot uses it; whether it is gone."""
    try:
        lock = os.open(root + SUFFIX, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_same(lock, root + SUFFIX):
            shutil.rmtree(root, ignore_errors=True)
            os.unlink(root + SUFFIX)
    except OSError:
        return False
    finally:
        os.close(lock)
    with suppress(OSError):
        os.rmdir(os.path.dirname(root))
    return True


def _own_folder() -> str:
    """A folder that belongs to this user alone, below TMPDIR, or here where programs may not run there."""
    places = (tempfile.gettempdir(), os.getcwd())
    usable = [place for place in places if not os.statvfs(place).f_flag & os.ST_NOEXEC]
    place = usable[0] if usable else places[0]
    folder = os.path.join(place, f"diracx-pilot-{os.getuid()}")
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    with suppress(FileNotFoundError):
        if _is_own(os.lstat(folder)):
            return folder
    # Somebody else was there first.
    return tempfile.mkdtemp(prefix="diracx-pilot-", dir=place)


def _is_own(found: os.stat_result) -> bool:
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _locked(content: str) -> "Tuple[str, int]":  # noqa: UP006 - for old Pythons' words
    """Where it is unfolded, with a lock that says that it is in use, shared with others that use it."""
    while True:
        # Whoever was last removes the folder, and somebody else may make one of this name: it is looked at
        # again, and as long as there is a lock in it nobody removes it.
        root = os.path.join(_own_folder(), content)
        lock = _opened(root)
        if lock is not None:
            fcntl.flock(lock, fcntl.LOCK_SH)
            if _is_same(lock, root + SUFFIX):
                return root, lock
            os.close(lock)


def _opened(root: str) -> Optional[int]:  # noqa: UP045 - for old Pythons' words
    """The file for a lock; None when the folder that it would be in is gone or another's by now."""
    with suppress(FileNotFoundError, NotADirectoryError):
        folder = os.open(os.path.dirname(root), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if _is_own(os.fstat(folder)):
                name = os.path.basename(root) + SUFFIX
                return os.open(name, os.O_RDWR | os.O_CREAT, 0o600, dir_fd=folder)
        finally:
            os.close(folder)
    return None


def _is_same(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _words(one: "tuple[str, str, str]") -> str:
    return f"Python {one[0]} on {one[1]} {one[2]}"


def _numbers(version: str) -> "tuple[int, ...]":
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
