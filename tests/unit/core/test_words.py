"""How durations, sizes and progress are written."""

import pytest

from diracx_tasks.core.words import about, ago, progress, size, size_of_mb, span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *[(-3, "0 s"), (0, "0 s"), (0.0349, "0.03 s"), (2.84, "2.8 s"), (9.99, "9.9 s"), (59.7, "59 s")],
        *[(4, "4 s"), (239.6, "3 min 59 s"), (600, "10 min"), (7199.9, "1 h 59 min"), (7200, "2 h")],
        *[(90061, "1 d 1 h"), (86400, "1 d")],
    ],
)
def test_a_duration_is_never_rounded_up_to_a_whole_unit(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_how_long_ago_something_was_is_said_in_one_unit() -> None:
    assert [ago(one) for one in (0.2, 5.5, 239, 7300)] == ["just now", "5 s ago", "3 min ago", "2 h ago"]
    assert (ago(-3), ago(-90), about(90061)) == ("just now", "in 1 min", "1 d")


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (12_345, "12.3 kB"),
        (999_600, "1 MB"),
        (5 * 10**9, "5 GB"),
        (3.2 * 10**15, "3.2 PB"),
    ],
)
def test_bytes_have_a_unit_that_makes_them_short(count: float, words: str) -> None:
    assert size(count) == words


def test_megabytes_are_written_as_they_are_asked_for() -> None:
    written = [size_of_mb(count) for count in (0, 1.25, 20.5, 2048, 16_384, 2_097_152)]
    assert written == ["0 MB", "1.2 MB", "20 MB", "2048 MB", "16 GB", "2 TB"]


def test_progress_names_what_was_there_already() -> None:
    assert progress(7, 7, 6) == "7/7 (6 reused)"
    assert (progress(1, 8), progress(0, 0)) == ("1/8", "0/?")
