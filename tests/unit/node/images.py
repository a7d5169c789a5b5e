"""A container engine with an image of its own: no registry is asked."""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from diracx_tasks.node.container import works
from tests.servers.programs import Missing, need

IMAGE = "localhost/diracx-test:1"
PROGRAMS = ("sh", "cat", "echo", "id", "ls", "sleep", "touch", "true", "env")
# What a machine may need that gives root few privileges, and has both kinds of control groups.
CONFIGURATION = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
"""


@contextmanager
def podman(folder: Path) -> Iterator[str]:
    """Podman's name, once it works here and has IMAGE; without it the test is skipped, in CI it fails."""
    need("podman")
    busybox = need("busybox")
    before = os.environ.get("CONTAINERS_CONF")
    if not works("podman"):
        need("runc")
        (folder / "containers.conf").write_text(CONFIGURATION)
        os.environ["CONTAINERS_CONF"] = str(folder / "containers.conf")
    try:
        _refuse_unless_it_works()
        subprocess.run(
            ["podman", "import", "-", IMAGE],
            input=_root(busybox),
            check=True,
            capture_output=True,
            timeout=60,
        )
        yield "podman"
        subprocess.run(["podman", "rmi", "--force", IMAGE], check=True, capture_output=True, timeout=60)
    finally:
        os.environ.pop("CONTAINERS_CONF", None)
        if before is not None:
            os.environ["CONTAINERS_CONF"] = before


def containers() -> list[str]:
    """The ids of podman's containers of IMAGE, ended ones too."""
    command = ["podman", "ps", "--all", "--quiet", f"--filter=ancestor={IMAGE}"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()


def _refuse_unless_it_works() -> None:
    if works("podman"):
        return
    reason = "podman is installed but runs no containers for this user: try `podman run --rm busybox true`"
    if os.environ.get("CI"):
        raise Missing(reason)
    pytest.skip(reason)


def _root(busybox: str) -> bytes:
    """A root file system with a few programs, as a tar file."""
    assert shutil.which("ldd")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(os.path.realpath(busybox), "bin/busybox")
        for name in PROGRAMS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for name in ("tmp", "proc", "sys", "dev", "etc"):
            one = tarfile.TarInfo(name)
            one.type, one.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(one)
        text = b"of the image\n"
        mark = tarfile.TarInfo("mark")
        mark.size = len(text)
        tar.addfile(mark, io.BytesIO(text))
    return packed.getvalue()
