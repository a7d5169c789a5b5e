"""Git repositories: what a revision says, copies of remote ones, and one-file commits."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from getpass import getuser
from pathlib import Path
from socket import gethostname

from diracx_tasks.core.errors import Conflict, SettingsError

# Whoever asks for the configuration may wait for so long: a beat leads no more after 8 s of silence.
GIT_SECONDS = 5
CLONE_SECONDS = 120
# What git states for its hooks, in which our commands may be called, would lead elsewhere.
ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")


def git(
    folder: str | Path,
    *arguments: str,
    seconds: float = GIT_SECONDS,
    more: Mapping[str, str] | None = None,
) -> str:
    """What git answers in a folder; `more` are variables of its environment, SettingsError has its words."""
    command = ["git", "-c", "safe.directory=*", "-C", str(folder), *arguments]
    # It must not ask for a password on the terminal.
    inherited = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    environment = {**inherited, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(more or {})}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SettingsError(f"git {arguments[0]} in {folder}: no end within {seconds:g} s") from error
    if done.returncode:
        raise SettingsError(f"git {arguments[0]} in {folder}: {done.stderr.strip()}")
    return done.stdout


def clone(url: str, folder: Path) -> None:
    """A mirror of a remote repository in a folder; harmless when another process is quicker."""
    part = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    git(".", "clone", "--quiet", "--mirror", url, str(part), seconds=CLONE_SECONDS)
    with suppress(OSError):  # another process was quicker: its copy is as good
        part.rename(folder)
    shutil.rmtree(part, ignore_errors=True)


def fetch(folder: Path) -> None:
    """Bring a mirror up to date, unless another process is at it."""
    with (folder / "fetching").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # what it brings is seen at the next look
        git(folder, "fetch", "--quiet", "--prune", "origin")


def commit_of(folder: str | Path, revision: str) -> str:
    """The commit that a revision names."""
    return git(folder, "rev-parse", "--verify", f"{revision}^{{commit}}").strip()


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Of our own commands, one at a time changes a repository."""
    place = Path(git(folder, "rev-parse", "--absolute-git-dir").strip())
    with (place / "diracx-change").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def commit_file(folder: Path, revision: str, file: str, text: str, message: str, *, parent: str) -> str:
    """Commit a file's new text on a branch, bare repository or not; answers the commit.

    A file in the working tree that is itself changed is a Conflict, and a branch that is not at `parent`.
    """
    branch = _branch(folder, revision)
    if commit_of(folder, branch) != parent:
        raise Conflict(f"{branch} in {folder} has changed meanwhile: nothing was committed, try again")
    is_here = _is_checked_out(folder, branch)
    if is_here and git(folder, "status", "--porcelain", "--", file):
        raise Conflict(f"{folder / file} differs from what is committed: commit it or put it back first")
    made = _commit(folder, parent, file, text, message)
    # Git itself compares once more, under its lock.
    git(folder, "update-ref", "-m", message, branch, made, parent)
    if is_here:
        git(folder, "checkout", "--quiet", "HEAD", "--", file)
    return made


def _branch(folder: Path, revision: str) -> str:
    """The full name of a branch; SettingsError when it is a tag or a commit, which cannot be changed."""
    if revision == "HEAD":
        return git(folder, "symbolic-ref", "HEAD").strip()
    name = f"refs/heads/{revision}"
    if not git(folder, "for-each-ref", "--format=%(refname)", name).strip():
        raise SettingsError(f"{revision} in {folder} is no branch: it cannot be changed")
    return name


def _is_checked_out(folder: Path, branch: str) -> bool:
    if git(folder, "rev-parse", "--is-bare-repository").strip() == "true":
        return False
    return git(folder, "rev-parse", "--symbolic-full-name", "HEAD").strip() == branch


def _commit(folder: Path, parent: str, file: str, text: str, message: str) -> str:
    """A commit that no branch has yet."""
    with tempfile.TemporaryDirectory() as place:
        source, index = Path(place) / "text", {"GIT_INDEX_FILE": f"{place}/index"}
        source.write_text(text, encoding="utf-8")
        blob = git(folder, "hash-object", "-w", f"--path={file}", str(source)).strip()
        git(folder, "read-tree", parent, more=index)
        git(folder, "update-index", "--add", "--cacheinfo", f"100644,{blob},{file}", more=index)
        tree = git(folder, "write-tree", more=index).strip()
    return git(folder, "commit-tree", tree, "-p", parent, "-m", message, more=_person(folder)).strip()


def _person(folder: Path) -> dict[str, str]:
    """Who commits: git's own setting, else the user of this machine."""
    found = {}
    for what, fallback in (("name", getuser()), ("email", f"{getuser()}@{gethostname()}")):
        try:
            git(folder, "config", f"user.{what}")
        except SettingsError:
            for role in ("AUTHOR", "COMMITTER"):
                name = f"GIT_{role}_{what.upper()}"
                found[name] = os.environ.get(name, fallback)
    return found
