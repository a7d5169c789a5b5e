"""Archives of strangers: what is good comes out as it went in, what is not leaves nothing behind."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diracx_tasks.core.errors import BadRequest, TooLarge
from diracx_tasks.core.unpack import MAX_REMARKS, Limits, unpack

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
    "tar.zst": zstandard.compress,
}
TEXT = b"some words\n"


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0, mode: int = 0o644
) -> tarfile.TarInfo:
    """The head of a member."""
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size, found.mode = kind, link, size, mode
    return found


def archive(folder: Path, *members: tarfile.TarInfo, content: bytes = TEXT, pack: str = "tar") -> Path:
    """An archive of members; files have the content."""
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w", format=tarfile.PAX_FORMAT) as made:
        for one in members:
            one.size = len(content) if one.isreg() else 0
            made.addfile(one, io.BytesIO(content) if one.isreg() else None)
    path = folder / f"sandbox.{pack}"
    path.write_bytes(COMPRESSIONS[pack](text.getvalue()))
    return path


def assert_refused(path: Path, kind: type[Exception], words: str, limits: Limits | None = None) -> None:
    """Fail unless an archive is refused with these words and nothing is left."""
    before = set(path.parent.rglob("*"))
    with pytest.raises(kind, match=words):
        unpack(path, path.parent / "out", *([limits] if limits else []))
    assert set(path.parent.rglob("*")) == before


@pytest.mark.parametrize("pack", COMPRESSIONS)
def test_files_come_out_as_they_went_in(tmp_path: Path, pack: str) -> None:
    members = (member("d", tarfile.DIRTYPE), member("d/run.sh", mode=0o777), member("x" * 200 + "/ä"))
    found = unpack(archive(tmp_path, *members, pack=pack), tmp_path / "out")
    assert [str(one.relative_to(tmp_path / "out")) for one in found.files] == ["d/run.sh", "x" * 200 + "/ä"]
    assert all(one.read_bytes() == TEXT for one in found.files)
    assert [one.stat().st_mode & 0o777 for one in found.files] == [0o755, 0o644]


def test_what_the_official_client_makes_is_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes(TEXT * 100_000)
    compression = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters.from_level(18, enable_ldm=1)
    )
    path = tmp_path / "sandbox.tar.zst"
    with (
        path.open("wb") as file,
        compression.stream_writer(file, closefd=False) as writer,
        tarfile.open(fileobj=writer, mode="w|") as made,
    ):
        made.add(tmp_path / "in", "in", recursive=True)
    unpack(path, tmp_path / "out")
    assert (tmp_path / "out" / "in" / "a.txt").read_bytes() == TEXT * 100_000


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "x" * 256, "a/" * 40 + "x"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    assert_refused(archive(tmp_path, member("good"), member(name)), BadRequest, "is not allowed in it")


def test_links_and_devices_are_left_out(tmp_path: Path) -> None:
    strange = [
        member("out", tarfile.SYMTYPE, "/etc"),
        member("hard", tarfile.LNKTYPE, "etc/passwd"),
        member("device", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
    ]
    found = unpack(archive(tmp_path, member("good"), *strange), tmp_path / "out")
    assert found.left_out == ["out", "hard", "device", "pipe"]
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["good"]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    members = (member("out", tarfile.SYMTYPE, str(tmp_path / "elsewhere")), member("out/x"))
    unpack(archive(tmp_path, *members), tmp_path / "out")
    assert not list((tmp_path / "elsewhere").iterdir())
    assert (tmp_path / "out" / "out" / "x").read_bytes() == TEXT


def test_a_hard_link_is_a_copy(tmp_path: Path) -> None:
    found = unpack(archive(tmp_path, member("a"), member("b", tarfile.LNKTYPE, "a")), tmp_path / "out")
    first, second = found.files
    first.write_bytes(b"changed")
    assert second.read_bytes() == TEXT


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    assert_refused(archive(tmp_path, member("a"), member("a")), BadRequest, "holds 'a' twice")
    assert_refused(archive(tmp_path, member("a"), member("a/b")), BadRequest, "twice")


@pytest.mark.parametrize("pack", ["tar.gz", "tar.zst", "tar.bz2", "tar.xz"])
def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path, pack: str) -> None:
    path = archive(tmp_path, member("zeros"), content=bytes(64 << 20), pack=pack)
    assert_refused(path, TooLarge, "more than 200 times its own")


def test_an_archive_is_held_to_bytes_and_files(tmp_path: Path) -> None:
    path = archive(tmp_path, member("a"), member("b"), member("c"), content=b"x" * 20_000)
    assert_refused(path, TooLarge, "more than 50000 bytes", Limits(size=50_000))
    assert_refused(path, TooLarge, "more than 2 files", Limits(files=2))


def test_hard_links_do_not_multiply_a_file_without_end(tmp_path: Path) -> None:
    links = [member(f"l{number}", tarfile.LNKTYPE, "a") for number in range(30)]
    path = archive(tmp_path, member("a"), *links, content=b"x" * 20_000)
    assert_refused(path, TooLarge, "more than 100000 bytes", Limits(size=100_000))


def test_remarks_without_end_are_refused(tmp_path: Path) -> None:
    long = member("a")
    long.pax_headers = {"comment": "x" * (MAX_REMARKS + 20_000)}
    assert_refused(archive(tmp_path, long), BadRequest, "bytes that are no files")


@pytest.mark.parametrize("pack", COMPRESSIONS)
def test_a_part_of_an_archive_is_refused(tmp_path: Path, pack: str) -> None:
    path = archive(tmp_path, *(member(f"f{number}") for number in range(50)), pack=pack)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.46)])
    assert_refused(path, BadRequest, "no archive that can be read")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(place=st.integers(0, 2000), byte=st.integers(0, 255), pack=st.sampled_from(list(COMPRESSIONS)))
def test_a_changed_archive_is_read_or_refused(tmp_path: Path, place: int, byte: int, pack: str) -> None:
    path = archive(tmp_path, member("a"), member("d/b"), pack=pack)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    path.write_bytes(content)
    try:
        found = unpack(path, tmp_path / "out")
    except (BadRequest, TooLarge):
        assert not (tmp_path / "out").exists()
        return
    for one in found.files:
        one.unlink()
    for folder in sorted((tmp_path / "out").rglob("*"), reverse=True):
        folder.rmdir()
    (tmp_path / "out").rmdir()
