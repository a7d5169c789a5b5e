"""`diracx data`: files with LFNs, to the storage elements and back."""

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.fetching import fetch_address
from diracx_tasks.cli.groups import Group
from diracx_tasks.cli.known import known_elements, known_lfns
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.progress import transfer
from diracx_tasks.cli.storing import files_of
from diracx_tasks.cli.tables import Column, Row
from diracx_tasks.core.errors import ApiError, BadRequest, DiracXError, Unreachable
from diracx_tasks.core.form import Told

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

T = TypeVar("T")
PARALLEL = 4
PER_REQUEST = 500
# An element that fails so often is given up.
ROUNDS = 3
BLOCK = 1 << 20
FILES = (
    Column("Name", lambda row: row["name"]),
    Column("Bytes", lambda row: row.get("size"), is_number=True, goes=4),
    Column("Owner", lambda row: row.get("owner"), goes=1),
    Column("Registered", lambda row: output.ago(row.get("created_at")), goes=2),
    Column("At", lambda row: ", ".join(one["se"] for one in row.get("replicas", [])), is_cut=True, goes=3),
)
REPLICAS = (
    Column("LFN", lambda row: row["lfn"]),
    Column("Storage element", lambda row: row["se"]),
    Column("PFN", lambda row: row["pfn"], goes=1),
)


@click.group(cls=Group)
def data() -> None:
    """Store files under logical file names (LFNs), list and fetch them."""


@data.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.argument("lfn", shell_complete=known_lfns)
@click.option(
    "--se",
    "ses",
    multiple=True,
    help="Where to; several: the first that works.  [default: any]",
    shell_complete=known_elements,
)
def put(path: Path, lfn: str, ses: Sequence[str]) -> None:
    """Store a file under an LFN, or all files of a folder below one; an LFN with / at its end is a folder."""
    target = f"{lfn}{path.name}" if lfn.endswith("/") else lfn
    found = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    names = [f"{target}/{one.relative_to(path)}" if path.is_dir() else target for one in found]
    if not found:
        raise BadRequest(f"{path} has no files in it")
    client = output.connect()
    files = [_File(one, name, ses) for one, name in zip(found, names, strict=True)]
    words = f"uploading {files_of(found)}"
    with transfer(words, sum(one.size for one in files)) as told:
        for some in _some(files):
            _send(client, some, told)
    for some in _some(files):
        client.post("/api/data/files", {"files": [one.registered() for one in some]})
    for name in names:
        click.echo(f"lfn:{name.removeprefix('lfn:')}")


@data.command()
@click.argument("lfn", shell_complete=known_lfns)
@click.argument("to", required=False, type=click.Path(path_type=Path))
def get(lfn: str, to: Path | None) -> None:
    """Fetch a file, or all files of a folder; to a path of its own, or into a folder that is there."""
    client = output.connect()
    found = client.post("/api/data/downloads", {"lfns": [lfn]})
    asked = f"lfn:{lfn.removeprefix('lfn:').rstrip('/')}"
    target = to or Path()
    if target.is_dir():
        target /= asked.rpartition("/")[2]
    pairs = [(one, target / one["location"].removeprefix(asked).lstrip("/")) for one in found]
    if taken := next((path for _, path in pairs if path.exists()), None):
        raise BadRequest(f"{taken} is there already: choose another place")
    words = f"downloading {files_of([path for _, path in pairs])}"
    size = sum(one.get("size") or 0 for one in found)
    with transfer(words, size) as told, ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(lambda pair: fetch_address(client, pair[0], pair[1], told), pairs))
    for _, path in pairs:
        click.echo(path)


@data.command()
@click.argument("lfn", shell_complete=known_lfns)
@output_option
def ls(lfn: str, form: str) -> None:
    """List what is right below a folder, or one file."""
    client = output.connect()
    try:
        rows = [{**client.get("/api/data/files", lfn=lfn), "name": lfn}]
    except ApiError as error:
        if error.status != 404:
            raise
        rows = list(_children(client, lfn))
    output.show_rows(rows, form, key="name", columns=FILES, empty=f"there is nothing below {lfn}")


@data.command()
@click.argument("lfns", nargs=-1, required=True, shell_complete=known_lfns)
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(lfns: Sequence[str], *, yes: bool) -> None:
    """Remove files with all their replicas."""
    output.agree(f"Remove {', '.join(lfns)} for ever?", yes=yes)
    client, gone = output.connect(), set[str]()
    for some in _some(lfns, 50):
        gone |= set(client.delete("/api/data/files", lfn=list(some))["lfns"])
    for lfn in sorted(gone):
        click.echo(lfn)
    if lost := [lfn for lfn in lfns if lfn.removeprefix("lfn:").rstrip("/") not in gone]:
        raise DiracXError(f"{lost[0]} is no file of the catalogue")


@data.command()
@click.argument("lfns", nargs=-1, required=True, shell_complete=known_lfns)
@output_option
def replicas(lfns: Sequence[str], form: str) -> None:
    """Say where files are."""
    found = output.connect().post("/api/data/files/look-up", {"lfns": lfns})
    rows = [{"lfn": one["lfn"], **at} for one in found["files"].values() for at in one["replicas"]]
    output.show_rows(rows, form, key="pfn", columns=REPLICAS, empty="no such file has a replica")
    if found["missing"]:
        raise DiracXError(f"{found['missing'][0]} is no file of the catalogue")


@data.command()
@output_option
def elements(form: str) -> None:
    """List the storage elements of your VO."""
    rows = output.connect().get("/api/data/elements")
    yes = {True: "yes", False: "no"}
    columns = (
        Column("Name", lambda row: row["name"]),
        Column("Readable", lambda row: yes[row["can_be_read"]]),
        Column("Writable", lambda row: yes[row["can_be_written"]]),
    )
    output.show_rows(rows, form, key="name", columns=columns, empty="your VO has no storage elements")


class _File:
    """A file that goes to an LFN."""

    def __init__(self, path: Path, lfn: str, ses: Sequence[str]) -> None:
        self.path, self.lfn, self.ses, self.se = path, lfn, ses, ""
        self.failures: dict[str, int] = {}
        sha256, sha1, self.size, adler32 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False), 0, 1
        with path.open("rb") as stream:
            while block := stream.read(BLOCK):
                self.size += len(block)
                sha256.update(block)
                sha1.update(block)
                adler32 = zlib.adler32(block, adler32)
        self.sha256, self.sha1, self.adler32 = sha256.hexdigest(), sha1.hexdigest(), f"{adler32:08x}"

    def announced(self) -> Row:
        known = {"lfn": self.lfn, "checksum": self.sha256, "size": self.size}
        return {**known, "se": list(self.ses), "failed": list(self.failures)}

    def registered(self) -> Row:
        known = {"lfn": self.lfn, "se": self.se, "checksum": self.sha256, "size": self.size}
        return {**known, "sha1": self.sha1, "adler32": self.adler32}


def _send(client: "Client", files: Sequence[_File], told: Told) -> None:
    """Have files at storage elements; what one does not take goes to the next."""

    def one(pair: tuple[_File, Row]) -> DiracXError | None:
        file, grant = pair
        file.se = grant["se"]
        if not grant["url"]:
            told(file.size)
            return None
        sent = 0

        def tell(count: int) -> None:
            nonlocal sent
            sent += count
            told(count)

        try:
            client.upload(grant, file.path, tell)
        except (ApiError, Unreachable) as error:
            told(-sent)
            file.failures[file.se] = file.failures.get(file.se, 0) + 1
            return error
        return None

    while files:
        grants = client.post("/api/data/uploads", {"files": [file.announced() for file in files]})
        with ThreadPoolExecutor(PARALLEL) as pool:
            errors = list(pool.map(one, zip(files, grants, strict=True)))
        failed = [(file, error) for file, error in zip(files, errors, strict=True) if error]
        for file, error in failed:
            if file.failures[file.se] == ROUNDS:
                raise DiracXError(f"{file.path} cannot be stored at {file.se}: {error}") from error
        files = [file for file, _ in failed]


def _children(client: "Client", folder: str) -> Iterator[Row]:
    after: str | None = ""
    while after is not None:
        page = client.get("/api/data/folder", lfn=folder, after=after)
        yield from ({"name": f"{name}/"} for name in page["folders"])
        yield from ({**file, "name": file["lfn"].rpartition("/")[2]} for file in page["files"])
        after = page["after"]


def _some(items: Sequence[T], most: int = PER_REQUEST) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]
