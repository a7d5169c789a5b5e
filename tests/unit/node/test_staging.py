"""Files to the payload and back, through a real HTTP server."""

import hashlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import ApiError
from diracx_tasks.node.halt import Cause, Halt, Halted, Stop
from diracx_tasks.node.placing import FOLDER
from diracx_tasks.node.staging import Placing, Staging, StagingError
from tests.unit.node.server import Server


@pytest.fixture
def staging(client: Client) -> Staging:
    """The staging of attempt 1 of job 1."""
    return Staging(client, Halt(Stop(10)), 1, 1)


@pytest.fixture
def placing(tmp_path: Path) -> Placing:
    """Places below the test's folder; the bundle holds two files."""
    return Placing(tmp_path / "inputs", tmp_path / "bundle", frozenset({"main.cwl", "data/x.txt"}))


def fetch(staging: Staging, placing: Placing, value: Any) -> Any:
    """The value with local files."""
    return staging.fetch({"value": value}, placing, lambda: None)["value"]


def store(staging: Staging, value: Any) -> Any:
    """The value with stored files."""
    return staging.store({"value": value}, lambda size: None)["value"]


def read(file: dict[str, Any]) -> bytes:
    """The content of a local File."""
    return Path(unquote(file["location"].removeprefix("file://"))).read_bytes()


def a_file(path: Path, content: bytes = b"content", **more: Any) -> dict[str, Any]:
    """A File as cwltool gives it after a run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    cwltools = {"http://commonwl.org/cwltool#generation": 0, "nameroot": path.stem, "nameext": path.suffix}
    return {"class": "File", "location": path.as_uri(), "basename": path.name, **cwltools, **more}


def test_a_stored_file_arrives_under_its_basename(server: Server, staging: Staging, placing: Placing) -> None:
    file = fetch(staging, placing, server.stored(b"abc", "a b#1.txt"))
    assert read(file) == b"abc"
    assert unquote(file["location"]).endswith("/a b#1.txt")


def test_files_are_found_wherever_they_are_in_the_inputs(
    server: Server, staging: Staging, placing: Placing
) -> None:
    index = server.stored(b"index", "a.bai")
    value = [
        {"nested": server.stored(b"bam", "a.bam", secondaryFiles=[index])},
        {"class": "Directory", "basename": "d", "listing": [server.stored(b"inside", "x")]},
        "sandbox:/no/file",
        None,
        3,
    ]
    record, directory, *others = fetch(staging, placing, value)
    assert read(record["nested"]) == b"bam"
    assert read(record["nested"]["secondaryFiles"][0]) == b"index"
    assert (Path(directory["location"].removeprefix("file://")) / "x").read_bytes() == b"inside"
    assert others == ["sandbox:/no/file", None, 3]


def test_files_of_the_same_name_do_not_meet(server: Server, staging: Staging, placing: Placing) -> None:
    files = fetch(
        staging, placing, [server.stored(b"1", "x"), server.stored(b"2", "x"), server.stored(b"1", "x")]
    )
    assert [read(file) for file in files] == [b"1", b"2", b"1"]


def test_many_files_take_few_requests(server: Server, staging: Staging, placing: Placing) -> None:
    files = [server.stored(b"%d" % number, "x") for number in range(600)]
    assert [read(file) for file in fetch(staging, placing, files)] == [
        b"%d" % number for number in range(600)
    ]
    assert server.requests == ["POST /api/pilots/jobs/1/downloads"] * 2


def test_inputs_without_files_need_no_request(server: Server, staging: Staging, placing: Placing) -> None:
    literal = {"class": "File", "basename": "x", "contents": "text"}
    assert fetch(staging, placing, [1, literal]) == [1, literal]
    assert server.requests == []


def test_files_of_the_bundle_are_in_its_folder(staging: Staging, placing: Placing) -> None:
    file = fetch(staging, placing, {"class": "File", "location": "bundle:data/x.txt", "basename": "x.txt"})
    assert file["location"] == (placing.bundle_folder / "data/x.txt").as_uri()
    folder = fetch(staging, placing, {"class": "Directory", "location": "bundle:data", "basename": "data"})
    assert folder["location"] == (placing.bundle_folder / "data").as_uri()


@pytest.mark.parametrize(
    "location", ["bundle:../x", "bundle:no.txt", "file:///etc/passwd", "lfn:/vo/x", "/etc/passwd"]
)
def test_other_locations_are_refused(staging: Staging, placing: Placing, location: str) -> None:
    with pytest.raises(StagingError, match=location):
        fetch(staging, placing, {"class": "File", "location": location, "basename": "x"})


@pytest.mark.parametrize("basename", ["../x", "", "..", "a/b"])
def test_a_basename_cannot_leave_its_folder(
    server: Server, staging: Staging, placing: Placing, basename: str
) -> None:
    with pytest.raises(StagingError, match="is not a file name"):
        fetch(staging, placing, server.stored(b"x", basename))


def test_a_file_that_the_store_has_lost_is_named(server: Server, staging: Staging, placing: Placing) -> None:
    file = server.stored(b"x", "x")
    server.store.clear()
    with pytest.raises(StagingError, match=r"sandbox:.*the store answered"):
        fetch(staging, placing, file)


def test_a_download_that_breaks_off_is_repeated(server: Server, staging: Staging, placing: Placing) -> None:
    file = server.stored(b"1234", "x")
    server.breaks = 2
    assert read(fetch(staging, placing, file)) == b"1234"
    assert [path.name for path in placing.folder.rglob("*") if path.is_file()] == ["x"]


def test_another_content_than_promised_is_refused(server: Server, staging: Staging, placing: Placing) -> None:
    file = server.stored(b"x", "x")
    server.store[file["location"]] = b"y"
    with pytest.raises(StagingError, match=hashlib.sha256(b"y").hexdigest()):
        fetch(staging, placing, file)
    assert not list(placing.folder.rglob("x"))


def test_an_output_is_stored_under_its_checksum(server: Server, staging: Staging, tmp_path: Path) -> None:
    stored = store(staging, a_file(tmp_path / "out.txt", b"abc"))
    assert stored == {
        "class": "File",
        "basename": "out.txt",
        "size": 3,
        "checksum": "sha1$a9993e364706816aba3e25717850c26c9cd0d89d",
        "location": "sandbox:/S3/bucket/vo/group/owner/sha256:"
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.file",
    }
    assert server.content(stored) == b"abc"


def test_what_goes_out_comes_back(server: Server, staging: Staging, placing: Placing, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    outputs = {
        "n": 1.5,
        "files": [a_file(tmp_path / "r.bin", content, secondaryFiles=[a_file(tmp_path / "r.idx")])],
    }
    (back,) = fetch(staging, placing, store(staging, outputs))["files"]
    assert read(back) == content
    assert read(back["secondaryFiles"][0]) == b"content"


def test_a_directory_becomes_a_literal_with_all_that_is_in_it(
    server: Server, staging: Staging, tmp_path: Path
) -> None:
    a_file(tmp_path / "d/b.txt", b"b")
    a_file(tmp_path / "d/sub/c d.txt", b"c")
    (tmp_path / "d/empty").mkdir()
    (tmp_path / "d/link").symlink_to(tmp_path / "d/b.txt")
    stored = store(
        staging, {"class": "Directory", "location": (tmp_path / "d").as_uri(), "basename": "named"}
    )
    assert (stored["basename"], "location" in stored) == ("named", False)
    b, empty, link, sub = stored["listing"]
    assert (server.content(b), server.content(link)) == (b"b", b"b")
    assert empty == {"class": "Directory", "basename": "empty", "listing": [], FOLDER: True}
    assert server.content(sub["listing"][0]) == b"c"


def test_a_directory_literal_keeps_its_own_listing(server: Server, staging: Staging, tmp_path: Path) -> None:
    literal = {
        "class": "Directory",
        "location": "_:1",
        "basename": "d",
        "listing": [a_file(tmp_path / "x", b"x")],
    }
    stored = store(staging, literal)
    assert "location" not in stored
    assert server.content(stored["listing"][0]) == b"x"


def test_a_literal_comes_back_with_its_listing_and_a_real_directory_without(
    server: Server, staging: Staging, placing: Placing, tmp_path: Path
) -> None:
    inside = a_file(tmp_path / "d/x", b"x")
    real = {"class": "Directory", "location": (tmp_path / "d").as_uri(), "basename": "real"}
    literal = {"class": "Directory", "location": "_:1", "basename": "literal", "listing": [inside, real]}
    stored = store(staging, {"real": real, "literal": literal})
    found = fetch(staging, placing, stored)
    assert "listing" not in found["real"]
    file, folder = found["literal"]["listing"]
    assert (read(file), "listing" in folder) == (b"x", False)
    place = Path(found["literal"]["location"].removeprefix("file://"))
    assert (place / "real/x").read_bytes() == b"x"
    assert FOLDER not in found["real"]


def test_a_file_literal_stays_one(server: Server, staging: Staging) -> None:
    literal = {"class": "File", "location": "_:1", "basename": "x", "contents": "text", "nameroot": "x"}
    assert store(staging, literal) == {"class": "File", "basename": "x", "contents": "text"}
    assert server.requests == []


def test_the_same_content_is_sent_once_and_only_if_new(
    server: Server, staging: Staging, tmp_path: Path
) -> None:
    server.stored(b"known", "k")
    files = [
        a_file(tmp_path / name, content) for name, content in [("a", b"new"), ("b", b"new"), ("c", b"known")]
    ]
    stored = store(staging, files)
    assert [server.content(file) for file in stored] == [b"new", b"new", b"known"]
    assert server.requests == ["POST /api/pilots/jobs/1/uploads", "POST /store"]


def test_the_size_is_told_before_anything_is_sent(server: Server, staging: Staging, tmp_path: Path) -> None:
    told: list[tuple[int, bool]] = []
    output = {"x": a_file(tmp_path / "x", b"12345")}
    staging.store(output, lambda size: told.append((size, "POST /store" in server.requests)))
    staging.store(output, lambda size: told.append((size, True)))
    assert told == [(5, False)]


def test_a_loop_of_links_is_refused(staging: Staging, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/up").symlink_to(tmp_path / "d")
    with pytest.raises(StagingError, match="leads back"):
        store(staging, {"class": "Directory", "location": (tmp_path / "d").as_uri()})


def test_an_output_that_is_no_file_is_refused(staging: Staging, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StagingError, match="output pipe is neither"):
        store(staging, {"class": "File", "location": (tmp_path / "pipe").as_uri(), "basename": "pipe"})
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(StagingError, match="output dangling: No such file"):
        store(
            staging, {"class": "File", "location": (tmp_path / "dangling").as_uri(), "basename": "dangling"}
        )


def test_a_file_name_must_be_text(staging: Staging, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.txt")
    with pytest.raises(StagingError, match="not UTF-8"):
        store(staging, a_file(tmp_path / name))


def test_an_attempt_that_is_no_longer_ours_is_halted(
    server: Server, staging: Staging, placing: Placing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "answer", lambda *_: (409, {"detail": "attempt 1 is late"}))
    with pytest.raises(Halted) as halted:
        fetch(staging, placing, server.stored(b"x", "x"))
    assert halted.value.cause is Cause.LATE


def test_a_refusal_of_the_server_is_an_error(
    server: Server, staging: Staging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "answer", lambda *_: (413, {"detail": "a file may have 10 GB"}))
    with pytest.raises(ApiError, match="a file may have 10 GB"):
        store(staging, a_file(tmp_path / "x"))


def test_a_server_that_is_away_is_waited_for(
    server: Server, staging: Staging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, away = server.answer, [503, 500]
    monkeypatch.setattr(server, "answer", lambda *args: (away.pop(0), {}) if away else answer(*args))
    assert server.content(store(staging, a_file(tmp_path / "x", b"abc"))) == b"abc"
