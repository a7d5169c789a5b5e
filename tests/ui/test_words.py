"""How pages write texts and lists."""

from diracx_api.ui.words import listed, prose


def test_what_is_between_backticks_is_code_and_nothing_else_is_markup() -> None:
    assert prose("see `a <b>` & go") == "see <code>a &lt;b&gt;</code> &amp; go"
    assert prose("one ` alone") == "one ` alone"


def test_a_list_is_written_as_words() -> None:
    assert (listed(["LCG.CERN.ch", "LCG.PIC.es"]), listed("4 GB")) == ("LCG.CERN.ch, LCG.PIC.es", "4 GB")
