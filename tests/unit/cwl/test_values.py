"""Values at the border between cwltool and the outside."""

import json
import math
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schema_salad.utils import yaml_no_ts

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl.values import locations, plain, to_external, to_internal, without_listings

BASE = "file:///bundle/abc/"
STORED = "sandbox:/S3/bucket/vo/group/owner/sha256:00.file"
TEXT = st.text(max_size=8)
NAMES = st.lists(st.text("ab .#?%ü:~+&=", min_size=1, max_size=6), min_size=1, max_size=3).map("/".join)
PLACES = NAMES.map("bundle:{}".format) | st.just(STORED)
FILES = st.fixed_dictionaries(
    {"class": st.sampled_from(["File", "Directory"]), "location": PLACES},
    optional={"basename": TEXT, "size": st.integers(0, 9)},
)
LITERALS = st.fixed_dictionaries({"class": st.just("File"), "contents": TEXT})
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | TEXT | FILES | LITERALS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXT.filter(lambda key: key != "class"), inner, max_size=3)
    ),
    max_leaves=12,
)
ANYTHING = st.recursive(
    SCALARS
    | st.floats()
    | st.integers()
    | st.binary(max_size=3)
    | st.text(st.characters(exclude_categories=()), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["class", "location", "path", "listing", "x"]) | st.integers(), inner, max_size=4
        )
        | st.fixed_dictionaries({"class": st.sampled_from(["File", "Directory"]), "location": inner})
    ),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_comes_back_unchanged(value: Any) -> None:
    inside = to_internal(value, BASE)
    assert to_external(inside, BASE) == value
    assert all(location.startswith((BASE, "sandbox:")) for location in locations(inside))


@given(VALUES)
def test_what_goes_out_is_json(value: Any) -> None:
    assert json.loads(json.dumps(to_external(value, BASE), allow_nan=False)) == value


@given(ANYTHING)
def test_any_value_is_taken_or_refused(value: Any) -> None:
    for convert in (partial(to_internal, base=BASE), partial(to_external, base=BASE), plain):
        try:
            json.dumps(convert(value), allow_nan=False).encode()
        except InvalidCwl:
            continue


@pytest.mark.parametrize(
    "location",
    [
        "http://x/y",
        "https://x/y",
        "file:///etc/passwd",
        "ftp://x",
        "s3://b/k",
        "data:,x",
        "FILE:///etc/passwd",
    ],
)
def test_a_location_that_would_have_to_be_fetched_is_refused(location: str) -> None:
    with pytest.raises(InvalidCwl, match="the server does not fetch addresses") as caught:
        to_internal({"x": [{"class": "File", "location": location}]}, BASE)
    assert caught.value.diagnostics[0]["advice"]


@pytest.mark.parametrize("location", ["../x", "/etc/passwd", "a/../../x"])
def test_a_path_out_of_the_bundle_stays_a_name_below_it(location: str) -> None:
    inside = to_internal({"class": "File", "location": location}, BASE)
    assert inside["location"].startswith(BASE)


def test_paths_count_as_locations_only_inside() -> None:
    inside = to_internal({"class": "File", "path": "x y.txt"}, BASE)
    assert inside == {"class": "File", "location": f"{BASE}x%20y.txt"}
    outside = to_external({**inside, "path": "/tmp/x", "dirname": "/tmp"}, BASE)
    assert outside == {"class": "File", "location": "bundle:x y.txt"}


def test_literals_have_no_location() -> None:
    literal = {"class": "File", "contents": "x", "location": "_:1", "basename": "x"}
    assert to_external(literal, BASE) == {"class": "File", "contents": "x", "basename": "x"}


def test_only_files_lose_their_paths() -> None:
    record = {"path": "x", "location": "http://x", "dirname": "y"}
    assert to_external(to_internal(record, BASE), BASE) == record


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_are_refused(number: float) -> None:
    with pytest.raises(InvalidCwl, match="not a number that JSON can hold"):
        to_external({"x": number}, BASE)


def test_integers_of_any_reasonable_size_stay_exact() -> None:
    assert to_external(10**42, BASE) == 10**42
    with pytest.raises(InvalidCwl, match="bits is not allowed"):
        to_external(1 << 10_000, BASE)


def test_half_a_character_is_refused() -> None:
    for value in ("\ud800", {"\ud800": 1}, {"class": "File", "location": "bundle:\ud800"}):
        with pytest.raises(InvalidCwl, match="not Unicode"):
            to_internal(value, BASE)


@pytest.mark.parametrize(
    "text, value",
    [
        ("1.23e5", 123000),
        ("1.5e0", 1.5),
        ("1.0", 1.0),
        ("1e-05", 1e-05),
        ("0x1F", 31),
        ("yes", "yes"),
        ("2026-11-23", "2026-11-23"),
        ("'1'", "1"),
        ("~", None),
        ("&x true", True),
    ],
)
def test_yaml_becomes_plain_json(text: str, value: object) -> None:
    found = plain(yaml_no_ts().load(f"v: {text}"))["v"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text", ["? [a]\n: 1", "1: 2", "a: !!binary aGVsbG8=", "a: !!set {x}", "a: !x y", "a: .nan"]
)
def test_yaml_that_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(InvalidCwl):
        plain(yaml_no_ts().load(text))


def test_listings_are_dropped_where_they_can_be_read_again() -> None:
    inner = {"class": "Directory", "location": f"{BASE}d/e", "listing": []}
    located = {"class": "Directory", "location": f"{BASE}d", "listing": [inner]}
    literal = {"class": "Directory", "basename": "l", "location": "_:1", "listing": [located]}
    assert without_listings([literal, {"x": located}]) == [
        {**literal, "listing": [{"class": "Directory", "location": f"{BASE}d"}]},
        {"x": {"class": "Directory", "location": f"{BASE}d"}},
    ]
