"""How pages write durations."""

import pytest

from diracx_api.ui.words import span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (2.84, "2.8 s"), (59.7, "59 s"), (239.6, "3 min 59 s"), (7199.9, "1 h 59 min")],
)
def test_a_duration_is_never_rounded_up_to_a_whole_unit(seconds: float, words: str) -> None:
    assert span(seconds) == words
