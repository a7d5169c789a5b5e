"""Wheels of the packages that are installed here, made anew; and wheels of other Pythons from an index.

So the pilot's file can be made without a network, from any installation: packages that came as wheels are
in it as they were built, without their tests.
"""

import base64
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.metadata import Distribution
from pathlib import Path
from typing import NamedTuple

from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag, sys_tags
from packaging.utils import canonicalize_name

from diracx_tasks.core.errors import BadRequest, DiracXError
from diracx_tasks.pilots.contents import Lacking

# What installers leave beside a package's own metadata.
OF_INSTALLERS = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}
LEFT_OUT = {"tests", "__pycache__"}
EARLIEST = (1980, 1, 1, 0, 0, 0)
ALIASES = {(2, 5): "manylinux1", (2, 12): "manylinux2010", (2, 17): "manylinux2014"}
LAST_MINOR = 50
PURE = "any"


class Target(NamedTuple):
    """A Python and a platform: `3.12` and `manylinux_2_28_x86_64`, as in the names of wheels."""

    python: str
    platform: str

    @property
    def glibc(self) -> tuple[int, int]:
        """The version of glibc that there is at least; BadRequest when the platform is none of Linux."""
        name, machine = self._parts
        for version, alias in ALIASES.items():
            if name == alias:
                return version
        parts = name.split("_")
        if len(parts) == 3 and parts[0] == "manylinux" and all(part.isdigit() for part in parts[1:]):
            return int(parts[1]), int(parts[2])
        raise BadRequest(
            f"{self.platform} is no platform: it looks like manylinux_2_28_{machine or 'x86_64'}"
        )

    @property
    def machine(self) -> str:
        """The kind of processor: `x86_64`, `aarch64`."""
        return self._parts[1]

    @property
    def platforms(self) -> list[str]:
        """The platforms whose wheels run there, the newest first."""
        major, last = self.glibc
        found = []
        for minor in range(last, 4, -1):
            names = [f"manylinux_{major}_{minor}", ALIASES.get((major, minor), "")]
            found += [f"{name}_{self.machine}" for name in names if name]
        return found

    @property
    def tags(self) -> list[Tag]:
        """The tags of wheels that can be installed there, the best first."""
        version, short = self.version, f"cp{''.join(map(str, self.version))}"
        ours = cpython_tags(version, platforms=self.platforms)
        return [*ours, *compatible_tags(version, short, self.platforms)]

    @property
    def version(self) -> tuple[int, int]:
        """The Python's version as numbers; BadRequest when it is none."""
        parts = self.python.split(".")
        if len(parts) != 2 or not all(part.isdigit() for part in parts):
            raise BadRequest(f"{self.python} is no version of Python: it looks like 3.12")
        return int(parts[0]), int(parts[1])

    @property
    def markers(self) -> dict[str, str]:
        """Its environment markers (PEP 508)."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }

    @property
    def _parts(self) -> tuple[str, str]:
        for machine in ("x86_64", "aarch64", "ppc64le", "s390x", "armv7l", "i686"):
            if self.platform.endswith(f"_{machine}"):
                return self.platform.removesuffix(f"_{machine}"), machine
        return self.platform, ""


def tags_of(one: Distribution) -> frozenset[Tag]:
    """The tags of the wheel that a package was installed from; BadRequest when it was installed otherwise."""
    lines = (one.read_text("WHEEL") or "").splitlines()
    stated = [line.partition(":")[2].strip() for line in lines if line.startswith("Tag:")]
    if not stated or one.files is None or _is_editable(one):
        name = one.metadata["Name"]
        raise BadRequest(f"the package {name} was not installed from a wheel: its files are not known")
    return frozenset(tag for text in stated for tag in parse_tag(text))


def rebuilt(one: Distribution, folder: Path) -> Path:
    """The wheel of an installed package, in a folder; it is the same whenever it is made."""
    name = canonicalize_name(one.metadata["Name"]).replace("-", "_")
    to = folder / f"{name}-{one.version}-{_tag(tags_of(one))}.whl"
    record: list[str] = []
    with zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as out:
        for inside, path in sorted(_files(one)):
            content = path.read_bytes()
            info = zipfile.ZipInfo(inside, EARLIEST)
            info.external_attr = (0o100755 if path.stat().st_mode & 0o100 else 0o100644) << 16
            out.writestr(info, content)
            record.append(_line(inside, content))
        metadata = _metadata(one)
        record.append(f"{metadata}/RECORD,,")
        out.writestr(zipfile.ZipInfo(f"{metadata}/RECORD", EARLIEST), "\n".join([*record, ""]))
    return to


def for_target(found: Mapping[str, Distribution | Lacking], target: Target, folder: Path) -> None:
    """Put into a folder what a Python elsewhere needs of packages and cannot have from those made here."""
    lacking = []
    for name, one in found.items():
        if isinstance(one, Lacking):
            lacking.append(one.requirement)
        elif tags_of(one).isdisjoint(target.tags):
            lacking.append(f"{name}=={one.version}")
    if lacking:
        _download(lacking, target, folder)


def glibc_of(found: Iterable[Distribution]) -> tuple[int, int] | None:
    """The oldest glibc with which packages run that were installed here; None when any will do."""
    needed: list[tuple[int, int]] = []
    for one in found:
        platforms = {tag.platform for tag in tags_of(one)}
        if PURE not in platforms:
            needed.append(min((_glibc(name) for name in platforms), default=(0, 0)))
    return max(needed, default=None)


def runs_here(one: Distribution) -> bool:
    """Whether the tags of a package are those of this Python."""
    return bool(tags_of(one) & set(sys_tags()))


def _glibc(platform: str) -> tuple[int, int]:
    try:
        return Target("3.11", platform).glibc
    except BadRequest:
        # Built on this machine, for it.
        import platform as machine

        version = machine.libc_ver()[1].split(".")[:2]
        return (int(version[0]), int(version[1])) if len(version) == 2 else (0, 0)


def _download(requirements: Collection[str], target: Target, folder: Path) -> None:
    short = "".join(map(str, target.version))
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet"]
    options += ["--implementation=cp", f"--python-version={target.python}", f"--dest={folder}"]
    options += [f"--abi={abi}" for abi in (f"cp{short}", "abi3", "none")]
    options += [f"--platform={name}" for name in target.platforms]
    command = [sys.executable, "-m", "pip", "download", *options, *requirements]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        said = " ".join(done.stderr.split())[-500:]
        raise DiracXError(f"no wheels for Python {target.python} on {target.platform}: {said}")


def _files(one: Distribution) -> Iterator[tuple[str, Path]]:
    """The files of a package by their paths in its wheel, without what its installer has added."""
    for file in one.files or ():
        parts = file.parts
        is_metadata = parts[0].endswith(".dist-info")
        if parts[0] == ".." or LEFT_OUT & set(parts[:-1]) or (is_metadata and parts[-1] in OF_INSTALLERS):
            continue
        path = Path(str(one.locate_file(file)))
        if path.is_file():
            yield file.as_posix(), path


def _metadata(one: Distribution) -> str:
    return next(file.parts[0] for file in one.files or () if file.parts[0].endswith(".dist-info"))


def _is_editable(one: Distribution) -> bool:
    return '"editable": true' in (one.read_text("direct_url.json") or "")


def _tag(tags: Collection[Tag]) -> str:
    parts = (
        {tag.interpreter for tag in tags},
        {tag.abi for tag in tags},
        {tag.platform for tag in tags},
    )
    return "-".join(".".join(sorted(part)) for part in parts)


def _line(inside: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{inside},sha256={digest},{len(content)}"
