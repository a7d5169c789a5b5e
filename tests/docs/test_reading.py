"""How pages are read: commands, files, marks; whose numbers are whose; what counts as printed."""

from pathlib import Path

import pytest

from tests.docs.compare import missing
from tests.docs.pages import Command, File, steps
from tests.docs.shell import Shell, shifted

PAGE = """# Title

<!-- before: mkdir a -->

    $ ls \\
        -a
    a

    b
    $ echo 'one
    two'

```yaml title="x.yaml"
k: v
```

<!-- not run: it would take long -->

    $ sleep 100

Then:

<!-- before:
cd a
cd ..
-->
<!-- prints otherwise: it depends -->

    $ date
    today
"""
OFFSETS = {"workflow": 100, "job": 1000, "bulk": 10}


def test_a_page_is_read_as_it_is_done(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    found = steps(tmp_path / "page.md")
    assert found == [
        Command("page.md:3", "mkdir a", is_before=True),
        Command("page.md:5", "ls \\\n    -a", prints=["a", "", "b"]),
        Command("page.md:10", "echo 'one\ntwo'"),
        File("page.md:13", "x.yaml", "k: v\n"),
        Command("page.md:19", "sleep 100", why_not="it would take long"),
        Command("page.md:23", "cd a\ncd ..", is_before=True),
        Command("page.md:29", "date", prints=["today"], prints_otherwise=True),
    ]


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("diracx workflows show 1 -o id", "diracx workflows show 101 -o id"),
        ("diracx jobs kill 1 2 --yes", "diracx jobs kill 1001 1002 --yes"),
        ("diracx jobs list --workflow 1 --limit 1", "diracx jobs list --workflow 101 --limit 1"),
        ("diracx workflows logs 2 --job 7 -f", "diracx workflows logs 102 --job 1007 -f"),
        ("diracx jobs logs 1 | tail -2", "diracx jobs logs 1001 | tail -2"),
        ("diracx jobs bulk 1", "diracx jobs bulk 11"),
        (
            "curl $DIRACX_URL/api/workflows/1/events?limit=2",
            "curl $DIRACX_URL/api/workflows/101/events?limit=2",
        ),
        ("diracx jobs kill --where JobGroup=00000001", "diracx jobs kill --where JobGroup=00000101"),
        ("unzip -l crate-1.zip", "unzip -l crate-101.zip"),
        ("wes-client --get 1", "wes-client --get 101"),
        ("diracx workflows submit a.cwl --input n=1", "diracx workflows submit a.cwl --input n=1"),
    ],
)
def test_numbers_are_those_of_this_system(text: str, wanted: str) -> None:
    assert shifted(text, OFFSETS) == wanted


def test_words_count_and_numbers_do_not() -> None:
    assert not missing(["job 1 is Done after 3 s"], ["hello", "job 7 is  Done after 12 s"])
    assert not missing(["a  one", "...", "b  two"], ["a one", "between", "b two"])
    assert not missing(['{"id":1,"path":"x",...'], ['{"id":3,"path":"x","more":"words"}'])
    assert not missing(
        ["Open http://h/device?user_code=TNPBTNNV"], ["Open http://h/device?user_code=FJJRTMPW"]
    )
    assert not missing(["Job  Submitted", "1  5 s ago"], ["Job  Submitted", "3  just now"])


@pytest.mark.parametrize(
    "said, printed",
    [
        (["job 1 is Done"], ["job 1 is Failed"]),
        (["job 1 is Done"], ["job 1 is not Done"]),
        (["one", "two"], ["two", "one"]),
        (["one"], []),
        (["has one ..."], ["one has"]),
    ],
)
def test_other_words_are_missed(said: list[str], printed: list[str]) -> None:
    assert missing(said, printed) in said


def test_a_shell_keeps_what_is_changed_and_says_how_commands_end(tmp_path: Path) -> None:
    with Shell(tmp_path, {"WORD": "hello"}) as shell:
        shell.write("a b.txt", "it's $WORD\n")
        assert shell.run("mkdir in && cd in && cat '../a b.txt'").lines == ["it's $WORD"]
        assert shell.run("pwd").lines == [str(tmp_path / "in")]
        assert shell.run("printf 'no end of line'; false") == (["no end of line"], 1)
        assert shell.run("echo $?").lines == ["1"]
        assert shell.run("echo $WORD >&2; cat").lines == ["hello"]


def test_what_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.shell.SECONDS", 0.3)
    with Shell(tmp_path, {}) as shell:
        assert shell.run("echo begun; sleep 60") == (["begun"], None)
