"""Fetching what a job has kept together."""

import io
import tarfile
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run, json_of
from tests.unit.cli.server import STORE, Server


def archived(server: Server, name: str, files: dict[str, bytes], link: str = "") -> str:
    """The PFN of an archive in the store."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:bz2") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(entry)
    pfn = f"{STORE}/{name}.tar.bz2"
    server.store[pfn] = data.getvalue()
    return pfn


def test_an_output_sandbox_is_unpacked_into_a_folder_of_its_own(diracx: Run, server: Server) -> None:
    pfn = archived(server, "one", {"std.out": b"hello", "deep/log": b"log"}, link="secrets")
    server.gives("GET", "/api/jobs/7/sandbox/output", [pfn])
    result = diracx("jobs", "sandbox", 7)
    assert (result.exit_code, result.stdout.split()) == (0, ["job-7/std.out", "job-7/deep/log"])
    assert (Path("job-7/std.out").read_bytes(), Path("job-7/deep/log").read_bytes()) == (b"hello", b"log")
    assert "left out, because it is no file: secrets" in result.stderr
    again = diracx("jobs", "sandbox", 7)
    assert (again.exit_code, "job-7 is there already" in again.stderr) == (2, True)


def test_several_archives_have_folders_beside_each_other(diracx: Run, server: Server) -> None:
    pfns = [archived(server, name, {"x": name.encode()}) for name in ("one", "two")]
    server.gives("GET", "/api/jobs/7/sandbox/input", [*pfns, f"{STORE}/sha256:1.file"])
    assert diracx("jobs", "sandbox", 7, "--input", "--outdir", "in").exit_code == 0
    assert [Path(f"in/{number}/x").read_text() for number in (1, 2)] == ["one", "two"]


def test_a_job_without_a_sandbox_says_so(diracx: Run, server: Server) -> None:
    server.gives("GET", "/api/jobs/7/sandbox/output", [])
    result = diracx("jobs", "sandbox", 7)
    assert "job 7 has no output sandbox" in result.stderr
    assert not Path("job-7").exists()


@pytest.mark.parametrize("name", ["../out", "/etc/out"])
def test_an_archive_that_leads_out_of_its_folder_leaves_nothing(
    diracx: Run, server: Server, name: str
) -> None:
    server.gives("GET", "/api/jobs/7/sandbox/output", [archived(server, "bad", {"good": b"", name: b""})])
    result = diracx("jobs", "sandbox", 7)
    assert (result.exit_code, "is not allowed in it" in result.stderr) == (2, True)
    assert not Path("job-7").exists()


def test_a_sandbox_is_listed_and_nothing_stays_here(diracx: Run, server: Server) -> None:
    pfn = archived(server, "one", {"std.out": b"hello", "deep/log": b"log"}, link="secrets")
    server.gives("GET", "/api/jobs/7/sandbox/output", [pfn])
    rows = json_of(diracx("jobs", "sandbox", "list", 7))

    assert [(row["name"], row["size"]) for row in rows] == [("std.out", 5), ("deep/log", 3)]
    assert diracx("job", "sandbox", "list", 7, "-o", "id").stdout == "std.out\ndeep/log\n"
    assert list(Path().iterdir()) == []


def test_a_file_is_printed_byte_by_byte_and_nothing_stays_here(diracx: Run, server: Server) -> None:
    content = bytes(range(256)) * 10_000
    pfns = [archived(server, "one", {"x": b"x"}), archived(server, "two", {"deep/plot": content})]
    server.gives("GET", "/api/jobs/7/sandbox/input", pfns)
    result = diracx("job", "sandbox", "peek", 7, "deep/plot", "--input")

    assert result.stdout_bytes == content
    shown = diracx("job", "sandbox", "peek", 7, "--input")
    assert (shown.stdout, shown.stderr) == ("x\ndeep/plot\n", "")
    assert list(Path().iterdir()) == []


def test_a_file_that_is_not_in_it_is_answered_with_those_that_are(diracx: Run, server: Server) -> None:
    server.gives("GET", "/api/jobs/7/sandbox/output", [archived(server, "one", {"a": b"", "b": b""})])
    result = diracx("jobs", "sandbox", "peek", 7, "c")
    assert (result.exit_code, result.stderr) == (1, "diracx: there is no 'c' in it, only a, b\n")


def test_an_archive_that_is_broken_is_told_in_words(diracx: Run, server: Server) -> None:
    pfn = archived(server, "one", {"std.out": b"hello" * 9999})
    server.store[pfn] = server.store[pfn][:60]
    server.gives("GET", "/api/jobs/7/sandbox/output", [pfn])
    result = diracx("jobs", "sandbox", "peek", 7, "std.out")
    assert (result.exit_code, "is no archive that can be read" in result.stderr) == (2, True)


def test_get_is_meant_where_nothing_is_said(diracx: Run, server: Server) -> None:
    server.gives("GET", "/api/jobs/7/sandbox/input", [archived(server, "one", {"x": b"x"})])
    assert diracx("jobs", "sandbox", "--input", 7).stdout == "job-7/x\n"
    assert diracx("jobs", "sandbox", "get", 7, "--input", "--outdir", "y").stdout == "y/x\n"


@pytest.mark.parametrize("asked", [("get",), ("peek",), ("list", "-o", "id"), ("list", "-o", "table")])
def test_names_do_nothing_to_the_terminal(diracx: Run, server: Server, asked: tuple[str, ...]) -> None:
    pfn = archived(server, "one", {"\x1b[2Jred": b"", "caf\udce9": b""}, link="\x1b[2Jlink")
    server.gives("GET", "/api/jobs/7/sandbox/output", [pfn])
    verb, *more = asked
    result = diracx("jobs", "sandbox", verb, 7, *more)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    assert "[2Jred" in result.stdout and "caf?" in result.stdout
