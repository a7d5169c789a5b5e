"""What goes through the pipe comes out as it went in, one line each."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml.scalarfloat import ScalarFloat

from diracx_tasks.cwl import lines

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(value=JSON)
def test_a_value_is_one_line_and_comes_back(value: Any) -> None:
    line = lines.written(value)
    assert b"\n" not in line
    assert lines.read(line) == value


def test_a_number_of_a_document_stays_a_number() -> None:
    number = ScalarFloat(1.5, width=3, prec=1)
    assert lines.read(lines.written([number, 1 << 80])) == [1.5, 1 << 80]
    assert lines.read(lines.written(number)) == 1.5


@pytest.mark.parametrize("line", [b"", b"{", b" {", b"nothing"])
def test_what_is_no_json_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        lines.read(line)
