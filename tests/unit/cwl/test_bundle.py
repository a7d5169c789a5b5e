"""Bundles: names that stay inside, contents that come back, hashes that tell contents apart."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.core.errors import InvalidCwl, TooLarge
from diracx_tasks.cwl.bundle import MAX_BYTES, MAX_FILES, Bundle, entry_document

PARTS = st.sampled_from(["a", "b.cwl", "..", ".", "", "~", "ü", " ", "C:", "\\", "\0", "a\nb", "..."])
ANYTHING = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)
NAMES = st.lists(PARTS, max_size=4).map("/".join) | ANYTHING
CONTENTS = st.dictionaries(st.sampled_from(["x.cwl", "d/y.bin", "z"]), st.binary(max_size=20))


@given(NAMES)
def test_a_name_is_refused_or_stays_inside(name: str) -> None:
    try:
        bundle = Bundle.of({name: b""}, name)
    except InvalidCwl:
        return
    (kept,) = bundle.files
    path = PurePosixPath(kept)
    assert not path.is_absolute() and ".." not in path.parts and path.parts
    assert bundle.entrypoint.startswith(kept) and bundle.hash


@given(ANYTHING)
def test_an_entry_point_is_refused_or_can_be_stored(fragment: str) -> None:
    try:
        bundle = Bundle.of({"x.cwl": b""}, f"x.cwl#{fragment}")
    except InvalidCwl:
        return
    assert bundle.hash and bundle.entrypoint.encode()


@given(CONTENTS)
def test_a_bundle_comes_back_from_json(files: dict[str, bytes]) -> None:
    bundle = Bundle.of({**files, "main.cwl": b""}, "main.cwl#x")
    again = Bundle.from_json(bundle.to_json())
    assert (again.files, again.entrypoint, again.hash) == (bundle.files, bundle.entrypoint, bundle.hash)


@given(CONTENTS, CONTENTS)
def test_bundles_have_the_same_hash_only_if_they_are_the_same(
    one: dict[str, bytes], other: dict[str, bytes]
) -> None:
    assert (Bundle(one, "x").hash == Bundle(other, "x").hash) == (one == other)


def test_the_entry_point_is_part_of_the_hash() -> None:
    assert Bundle({"x": b""}, "x#a").hash != Bundle({"x": b""}, "x#b").hash


def test_the_main_document_must_be_sent() -> None:
    with pytest.raises(InvalidCwl, match=r"main document 'y.cwl' is not among the files sent: x.cwl"):
        Bundle.of({"x.cwl": b""}, "y.cwl")


def test_two_names_of_one_file_are_refused() -> None:
    with pytest.raises(InvalidCwl, match="twice"):
        Bundle.of({"a/x.cwl": b"1", "a//x.cwl": b"2"}, "a/x.cwl")


def test_a_file_cannot_be_a_folder_as_well() -> None:
    with pytest.raises(InvalidCwl, match="folder"):
        Bundle.of({"a": b"1", "a/b": b"2"}, "a")


@pytest.mark.parametrize("name", ["x" * 256, "/".join(["d"] * 33), "ü" * 128])
def test_a_name_that_no_disk_takes_is_refused(name: str) -> None:
    with pytest.raises(InvalidCwl, match="is not allowed"):
        Bundle.of({name: b""}, name)


def test_limits_are_named() -> None:
    with pytest.raises(TooLarge, match=str(MAX_FILES)):
        Bundle.of({str(n): b"" for n in range(MAX_FILES + 1)}, "0")
    with pytest.raises(TooLarge, match=str(MAX_BYTES)):
        Bundle.of({"x": b"x" * (MAX_BYTES + 1)}, "x")


@pytest.mark.parametrize("content", [None, 5, [], {}, {"base64": "*"}, {"base64": 5}, {"text": "x"}])
def test_a_file_is_a_text_or_base64(content: object) -> None:
    with pytest.raises(InvalidCwl, match="a file is a text"):
        Bundle.from_json({"entrypoint": "x", "files": {"x": content}})


def test_the_files_are_written_below_a_folder(tmp_path: Path) -> None:
    Bundle.of({"a/b/x.cwl": b"1", "y": b"2"}, "y").write_to(tmp_path)
    assert (tmp_path / "a/b/x.cwl").read_bytes() == b"1"
    assert (tmp_path / "y").read_bytes() == b"2"


def test_a_document_may_be_given_as_json() -> None:
    assert entry_document("x: 1") == b"x: 1"
    assert b'"class"' in entry_document({"class": "Workflow"})
