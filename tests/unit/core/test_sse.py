"""Server-sent events as they come over the line, and texts that are seen through a window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.core.overlap import CUT, PROBE, new_of
from diracx_tasks.core.sse import Message, messages

STREAM = (
    ": hello\n\nid: 7-1\nevent: log\ndata: {\ndata: }\n\ndata:grüße\r\n\r\nretry: 10\nid\n\n"
    "event: end\ndata: \n\nevent: cut\ndata: x"
).encode()
READ = [Message("log", "{\n}", "7-1"), Message("message", "grüße", "7-1"), Message("end", "", "")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_messages_are_whole_however_they_come(size: int) -> None:
    chunks = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    assert list(messages(chunks)) == READ


def test_what_is_not_complete_at_the_end_is_no_message() -> None:
    assert list(messages([b"data: x\n"])) == []


@given(st.integers(0, 400), st.integers(100, 300), st.integers(0, 150))
def test_pieces_of_a_growing_text_give_the_text(length: int, window: int, step: int) -> None:
    text = "".join(f"{number:04d}\n" for number in range(length))
    more = "x" * min(step, window - PROBE - CUT)
    assert new_of(text[-window:], (text + more)[-window:]) == more


def test_a_text_that_has_gone_past_the_window_is_new_as_a_whole() -> None:
    assert new_of("a" * 100, "b" * 100) == "b" * 100
    assert new_of("", "new") == "new"
    assert new_of("same", "same") == ""
