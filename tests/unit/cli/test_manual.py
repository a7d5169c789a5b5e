"""The manual page has every command, and nothing that roff complains about."""

import re
import shutil
import subprocess

import pytest

from tests.unit.cli.conftest import Run


def test_every_command_and_option_is_in_it(diracx: Run) -> None:
    page = diracx("man").stdout

    for words in ("diracx workflows submit", "diracx tasks schedule pause", "diracx jobs sandbox peek"):
        assert f'.SS "{words}"' in page
    assert r".B \-\-no\-browser" in page and ".B DIRACX_URL" in page and ".SH EXIT STATUS" in page
    assert '.SS "diracx demo"' not in page and '.SS "diracx job"' not in page


@pytest.mark.skipif(not shutil.which("groff"), reason="apt-get install groff-base")
def test_roff_has_nothing_to_complain_about(diracx: Run) -> None:
    page = diracx("man").stdout
    command = ["groff", "-man", "-ww", "-b", "-Tutf8", "-P-cbou", "-rLL=90n"]
    done = subprocess.run(command, input=page, capture_output=True, text=True, check=True)

    assert done.stderr == ""
    for words in ("~/.cache/diracx/credentials.json", "[table|json|id]", "Jobs that fit; several must all"):
        assert words in done.stdout


def test_what_roff_would_carry_out_is_plain_text(diracx: Run) -> None:
    known = (".TH", ".SH", ".SS", ".B ", ".PP", ".TP", ".nf", ".fi")
    lines = diracx("man").stdout.splitlines()

    assert [line for line in lines if line.startswith((".", "'")) and not line.startswith(known)] == []


def test_the_help_of_every_command_fits_a_terminal(diracx: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page = diracx("man").stdout.replace("\\-", "-")
    every = [(), *(tuple(one.split()) for one in re.findall(r'\.SS "diracx ([^"]*)"', page))]
    assert len(every) > 80
    for words in every:
        found = diracx(*words, "--help")
        assert found.exit_code == 0 and found.stdout.startswith(f"Usage: {' '.join(['diracx', *words])} ")
        assert [line for line in found.stdout.splitlines() if len(line) > 80] == [], words
