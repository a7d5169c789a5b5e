"""Getting the outputs of a workflow: the JSON, and the files."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.answers import a_detail
from tests.unit.cli.conftest import Run, json_of
from tests.unit.cli.server import Server

DETAIL = "/api/workflows/12"


def gives(server: Server, **outputs: Any) -> None:
    """Have the workflow 12 be done with these outputs."""
    server.gives("GET", DETAIL, a_detail("Done", outputs=outputs))


def test_outputs_are_printed_as_the_server_has_them(diracx: Run, server: Server) -> None:
    file = server.stored(b"3.14", "pi.json")
    gives(server, pi=3.14, result=file)

    assert json_of(diracx("workflows", "outputs", 12)) == {"pi": 3.14, "result": file}


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        ("Running", "", "workflow 12 is Running: it has no outputs yet"),
        ("Failed", "exit code 3", "workflow 12 is Failed: exit code 3: it has no outputs"),
    ],
)
def test_a_workflow_without_outputs_says_so(
    diracx: Run, server: Server, status: str, reason: str, words: str
) -> None:
    server.gives("GET", DETAIL, a_detail(status, reason=reason))
    result = diracx("workflows", "outputs", 12)

    assert result.exit_code == 1
    assert result.stderr == f"diracx: {words}\n"
    assert result.stdout == ""


def test_files_are_downloaded_and_named_by_their_local_paths(diracx: Run, server: Server) -> None:
    gives(
        server,
        pi=3.14,
        result=server.stored(b"3.14", "pi.json"),
        none=None,
        elsewhere={"class": "File", "location": "https://example.org/x"},
    )
    found = json_of(diracx("workflows", "outputs", 12, "--download", "a/b"))
    path = Path("a/b/pi.json").absolute()

    assert path.read_bytes() == b"3.14"
    assert found["result"]["path"] == str(path)
    assert found["result"]["location"] == path.as_uri()
    assert (found["pi"], found["none"], found["elsewhere"]["location"]) == (
        3.14,
        None,
        "https://example.org/x",
    )


def test_folders_secondary_files_and_literals_are_put_where_they_belong(diracx: Run, server: Server) -> None:
    inner = {"class": "Directory", "basename": "in", "listing": [server.stored(b"2", "two")]}
    folder = {"class": "Directory", "basename": "out", "listing": [server.stored(b"1", "one"), inner]}
    main = server.stored(b"bam", "a.bam", secondaryFiles=[server.stored(b"bai", "a.bam.bai"), folder])
    literal = {"class": "File", "basename": "note", "contents": "hello"}
    gives(server, main=main, record={"note": literal})
    found = json_of(diracx("workflows", "outputs", 12, "--download", "to"))
    texts = {
        str(path.relative_to("to")): path.read_text() for path in Path("to").rglob("*") if path.is_file()
    }

    assert texts == {"a.bam": "bam", "a.bam.bai": "bai", "out/one": "1", "out/in/two": "2", "note": "hello"}
    listing = found["main"]["secondaryFiles"][1]["listing"]
    assert Path(listing[1]["listing"][0]["path"]).read_text() == "2"


def test_outputs_of_one_name_do_not_overwrite_each_other(diracx: Run, server: Server) -> None:
    files = [
        server.stored(text.encode(), "x", secondaryFiles=[server.stored(text.upper().encode(), "x.idx")])
        for text in "abc"
    ]
    gives(server, files=files)
    found = json_of(diracx("workflows", "outputs", 12, "--download", "to"))["files"]

    assert [Path(one["path"]).relative_to(Path("to").absolute()) for one in found] == [
        Path("x"),
        Path("2/x"),
        Path("3/x"),
    ]
    assert [Path(one["path"]).read_text() for one in found] == ["a", "b", "c"]
    assert Path("to/3/x.idx").read_text() == "C"


def test_downloading_again_fetches_nothing(diracx: Run, server: Server) -> None:
    gives(server, one=server.stored(b"1", "one"), text={"class": "File", "basename": "t", "contents": "t"})
    first = diracx("workflows", "outputs", 12, "--download", ".").stdout

    assert diracx("workflows", "outputs", 12, "--download", ".").stdout == first
    assert len(server.asked("GET", "/api/jobs/sandbox")) == 1


@pytest.mark.parametrize("is_literal", [False, True])
def test_another_file_of_that_name_is_not_overwritten(diracx: Run, server: Server, is_literal: bool) -> None:
    literal = {"class": "File", "basename": "one", "contents": "1"}
    gives(server, one=literal if is_literal else server.stored(b"1", "one"))
    Path("one").write_text("mine")
    result = diracx("workflows", "outputs", 12, "--download", ".")

    assert result.exit_code == 1
    assert "is there with another content" in result.stderr
    assert Path("one").read_text() == "mine"


@pytest.mark.parametrize("name", ["../evil", "..", "", "/etc/evil"])
def test_a_name_that_leads_elsewhere_is_refused(diracx: Run, server: Server, name: str) -> None:
    gives(server, one=server.stored(b"1", name))
    result = diracx("workflows", "outputs", 12, "--download", "to")

    assert result.exit_code == 1
    assert "is not a file name" in result.stderr
    assert list(Path("to").iterdir()) == []


def test_content_that_the_store_has_spoilt_is_not_kept(diracx: Run, server: Server) -> None:
    file = server.stored(b"1", "one")
    server.store = {f"/S3/bucket/vo/group/alice/sha256:{hashlib.sha256(b'1').hexdigest()}.file": b"spoilt"}
    gives(server, one=file)
    result = diracx("workflows", "outputs", 12, "--download", "to")

    assert result.exit_code == 1
    assert "another content" in result.stderr
    assert list(Path("to").iterdir()) == []


def test_a_download_that_breaks_off_is_the_stores_fault_and_leaves_nothing(
    diracx: Run, server: Server
) -> None:
    gives(server, one=server.stored(b"1234", "one"))
    server.breaks = 1
    result = diracx("workflows", "outputs", 12, "--download", "to")

    assert (result.exit_code, list(Path("to").iterdir())) == (5, [])
    assert "/store broke off" in result.stderr and "--debug" not in result.stderr
    assert json_of(diracx("workflows", "outputs", 12, "--download", "to"))["one"]["class"] == "File"


def test_a_replica_that_breaks_off_is_followed_by_the_next(diracx: Run, server: Server) -> None:
    server.store = {"first": b"1234", "second": b"1234"}
    urls = [f"{server.url}/store?first", f"{server.url}/store?second"]
    row = {"location": "lfn:/vo/one", "urls": urls, "size": 4, "checksum": None}
    server.gives("POST", "/api/data/downloads", [row])
    gives(server, one={"class": "File", "location": "lfn:/vo/one"})
    server.breaks = 1

    json_of(diracx("workflows", "outputs", 12, "--download", "to"))
    assert [(path.name, path.read_bytes()) for path in Path("to").iterdir()] == [("one", b"1234")]


def test_outputs_that_are_no_text_are_printed_all_the_same(diracx: Run, server: Server) -> None:
    gives(server, word="\ud800")

    assert json.loads(diracx("workflows", "outputs", 12).stdout) == {"word": "\ud800"}
