"""Commands of JDL jobs: taken apart as a shell does it, whatever they hold."""

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diracx_tasks.node.command import arguments, environment, inside, numbered, program
from diracx_tasks.node.refused import Refused

# What a description can hold in one line.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
# Quotes, backslashes and blanks, which are what splitting is about, without what a shell replaces.
PLAIN = st.text(st.sampled_from("ab \t'\"\\-=,:"), max_size=25)
NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,8}\Z")


@given(st.lists(TEXT))
def test_quoted_words_come_back_as_they_were(words: list[str]) -> None:
    assert arguments(shlex.join(words)) == words


@settings(max_examples=60, deadline=None)
@given(PLAIN)
def test_a_shell_takes_them_apart_in_the_same_way(text: str) -> None:
    shown = subprocess.run(
        ["/bin/sh", "-c", f"for one in {text}\ndo printf '%s\\0' \"$one\"; done"],
        capture_output=True,
        check=False,
    )
    try:
        found = arguments(text)
    except Refused:
        assert shown.returncode != 0
        return
    assert shown.returncode == 0
    assert shown.stdout.decode().split("\0")[:-1] == found


def a_job(**payload: Any) -> dict[str, Any]:
    return {"job_id": 3, "cores": 4, "payload": {"environment": {}, **payload}}


@given(st.dictionaries(NAMES, TEXT, max_size=5))
def test_the_jobs_own_variables_are_as_they_were_stated(stated: dict[str, str]) -> None:
    found = environment(a_job(environment=stated), "LCG.CERN.ch", Path("/tmp"))
    assert {name: found[name] for name in stated} == stated
    ours = {"JOBID": "3", "DIRACJOBID": "3", "DIRACSITE": "LCG.CERN.ch", "DIRAC_PROCESSORS": "4"}
    assert {name: found[name] for name in ours.keys() - stated.keys()} == {
        name: value for name, value in ours.items() if name not in stated
    }


def test_variables_of_the_pilot_are_kept_from_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIRACX_TOKEN", "secret")
    monkeypatch.setenv("SITE_SCRATCH", "/scratch")
    found = environment(a_job(), "here", Path("/tmp"))
    assert "DIRACX_TOKEN" not in found
    assert found["SITE_SCRATCH"] == "/scratch"
    assert found["DIRAC_WHOLENODE"] == "False"
    assert environment(a_job(whole_node="true"), "here", Path("/tmp"))["DIRAC_WHOLENODE"] == "True"


@given(st.recursive(TEXT, lambda some: st.lists(some) | st.dictionaries(TEXT, some), max_leaves=5))
def test_the_jobs_number_replaces_its_mark_and_nothing_else(value: Any) -> None:
    if "%j" not in str(value):
        assert numbered(value, 42) == value


def test_the_mark_of_the_jobs_number_is_no_part_of_a_word() -> None:
    assert numbered({"a": ["x_%j.root", "%jobs", 5]}, 42) == {"a": ["x_42.root", "%jobs", 5]}


@pytest.mark.parametrize(
    "name, is_inside",
    [
        ("a", True),
        ("a/b*", True),
        ("..a", True),
        ("", False),
        (".", False),
        ("/a", False),
        ("../a", False),
        ("a/../../b", False),
        ("a\0", False),
    ],
)
def test_names_that_lead_out_of_the_folder_are_known(name: str, is_inside: bool) -> None:
    assert inside(name) is is_inside


def payload(**stated: str) -> dict[str, str]:
    return {"executable": "run.sh", "arguments": "", "stdout": "std.out", "stderr": "std.err", **stated}


def test_a_file_of_the_job_becomes_a_program(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("")
    found = program(payload(arguments="-n 'a b'"), tmp_path, {})
    assert found.command == [str(tmp_path / "run.sh"), "-n", "a b"]
    assert os.access(tmp_path / "run.sh", os.X_OK)


def test_variables_in_the_programs_name_are_replaced(tmp_path: Path) -> None:
    found = program(payload(executable="${ROOT}/sh"), tmp_path, {"ROOT": "/bin"})
    assert found.command == ["/bin/sh"]
    with pytest.raises(Refused, match=r"\$NONE/sh not found"):
        program(payload(executable="$NONE/sh"), tmp_path, {"ROOT": "/bin"})


def test_a_program_is_looked_for_where_the_job_says(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "tool").write_text("")
    (tmp_path / "mine" / "tool").chmod(0o755)
    folder = tmp_path / "job"
    folder.mkdir()
    found = program(payload(executable="tool"), folder, {"PATH": str(tmp_path / "mine")})
    assert found.command == [str(tmp_path / "mine" / "tool")]
    with pytest.raises(Refused, match="Path to executable tool not found"):
        program(payload(executable="tool"), folder, {"PATH": "/nowhere"})


def test_characters_that_no_program_can_get_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="NUL"):
        program(payload(executable="sh", arguments="a\0b"), tmp_path, {"PATH": "/bin"})
