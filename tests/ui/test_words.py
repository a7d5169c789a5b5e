"""How pages write durations."""

import pytest

from diracx_api.ui.words import listed, prose, span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (2.84, "2.8 s"), (59.7, "59 s"), (239.6, "3 min 59 s"), (7199.9, "1 h 59 min")],
)
def test_a_duration_is_never_rounded_up_to_a_whole_unit(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_what_is_between_backticks_is_code_and_nothing_else_is_markup() -> None:
    assert prose("see `a <b>` & go") == "see <code>a &lt;b&gt;</code> &amp; go"
    assert prose("one ` alone") == "one ` alone"


def test_a_list_is_written_as_words() -> None:
    assert (listed(["LCG.CERN.ch", "LCG.PIC.es"]), listed("4 GB")) == ("LCG.CERN.ch, LCG.PIC.es", "4 GB")
