"""The inputs of a submission: values from a file and the command line, and the files in them."""

import hashlib
import os
from pathlib import Path

import pytest

from tests.unit.cli.answers import written
from tests.unit.cli.conftest import Refused, Run, Submit
from tests.unit.cli.server import Answer, Server

TOOL = "class: CommandLineTool\ninputs: {}\n"


def test_broken_documents_and_inputs_are_left_to_the_server(submit: Submit) -> None:
    written(main_cwl="class: [", inputs="{a: ")
    body = submit("main.cwl", "inputs")

    assert body["files"] == {"main.cwl": "class: ["}
    assert body["inputs"] == "{a: "


def test_the_servers_complaint_about_inputs_names_the_users_file(diracx: Run, server: Server) -> None:
    written(main_cwl=TOOL, inputs="a: [")
    found = [{"severity": "error", "file": "inputs", "line": 1, "column": 4, "message": "not YAML"}]
    detail = {"kind": "invalid", "message": "no", "diagnostics": found}
    Path("inputs").rename("in.yaml")
    server.gives("POST", "/api/workflows", Answer({"detail": detail}, 422))

    assert (
        "in.yaml:1:4: not YAML\n    a: [\n       ^\n"
        in diracx("workflows", "submit", "main.cwl", "in.yaml").stderr
    )


def test_inputs_are_yaml_with_values_of_the_command_line_added(submit: Submit) -> None:
    written(
        main_cwl="inputs: {n: int, s: string, t: 'string?', l: 'string[]', "
        "e: {type: {type: enum, symbols: ['1']}}, d: string}"
    )
    Path("in.yaml").write_text("n: 1\ns: a\nd: 2026-11-23\n")
    given = [
        "--input",
        "n=2",
        "--input",
        "s=007",
        "--input",
        "t=yes=no",
        "--input",
        "l=[a, b]",
        "--input",
        "e=1",
    ]

    assert submit("main.cwl", "in.yaml", *given)["inputs"] == {
        "n": 2,
        "s": "007",
        "d": "2026-11-23",
        "t": "yes=no",
        "l": ["a", "b"],
        "e": "1",
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [("m=1", "there is no input 'm', only n"), ("n", "write name=value"), ("n=[", "is not YAML")],
)
def test_a_wrong_input_on_the_command_line_is_wrong_usage(refused: Refused, given: str, words: str) -> None:
    written(main_cwl="inputs: [{id: '#main/n', type: int}]")
    result = refused("main.cwl", "--input", given)

    assert result.exit_code == 2
    assert words in result.stderr


def test_values_cannot_be_added_to_inputs_that_are_no_mapping(refused: Refused) -> None:
    written(main_cwl="inputs: {n: int}", inputs="[1]")

    assert refused("main.cwl", "inputs", "--input", "n=1").exit_code == 2


def test_local_files_are_uploaded_once_and_named_by_the_store(submit: Submit, server: Server) -> None:
    written(main_cwl=TOOL, data__in="", data__a="same")
    Path("data/b c").write_text("same")
    Path("data/in.yaml").write_text(
        "one: {class: File, path: a, format: text}\n"
        "many: [{class: File, location: b%20c, basename: renamed}]\n"
        f"uri: {{class: File, location: 'file://{Path('data/a').absolute()}'}}\n"
    )
    sent = submit("main.cwl", "data/in.yaml")["inputs"]
    sha1 = hashlib.sha1(b"same", usedforsecurity=False).hexdigest()

    assert server.content(sent["one"]) == b"same"
    assert sent["one"] == {
        "class": "File",
        "format": "text",
        "basename": "a",
        "size": 4,
        "checksum": f"sha1${sha1}",
        "location": f"sandbox:/S3/bucket/vo/group/alice/sha256:{hashlib.sha256(b'same').hexdigest()}.file",
    }
    assert sent["many"][0]["basename"] == "renamed"
    assert sent["uri"]["location"] == sent["many"][0]["location"] == sent["one"]["location"]
    asked = server.asked("POST", "/api/jobs/sandbox")
    assert len(asked) == 2
    assert asked[0].body["format"] == "file"


def test_files_elsewhere_and_literals_stay_as_they_are(submit: Submit) -> None:
    written(main_cwl=TOOL)
    values = (
        "a: {class: File, location: 'sandbox:/S3/x'}\nb: {class: File, path: 'lfn:/lhcb/x'}\n"
        "c: {class: File, location: 'https://example.org/x'}\n"
        "d: {class: File, basename: x, contents: hello}\n"
    )
    Path("in.yaml").write_text(values)

    assert submit("main.cwl", "in.yaml")["inputs"] == {
        "a": {"class": "File", "location": "sandbox:/S3/x"},
        "b": {"class": "File", "location": "lfn:/lhcb/x"},
        "c": {"class": "File", "location": "https://example.org/x"},
        "d": {"class": "File", "basename": "x", "contents": "hello"},
    }


def test_folders_become_literals_with_their_listing(submit: Submit, server: Server) -> None:
    written(main_cwl="inputs: {x: Directory}", folder__a="1", folder__deep__b="2")
    Path("folder/empty").mkdir()
    folder = submit("main.cwl", "--input", "x=folder")["inputs"]["x"]
    a, deep, empty = folder.pop("listing")

    # It was a real one: tools see what is in it where they ask for that.
    assert folder == {"class": "Directory", "basename": "folder", "diracx:folder": True}
    assert server.content(a) == b"1"
    assert server.content(deep["listing"][0]) == b"2"
    assert empty == {"class": "Directory", "basename": "empty", "listing": [], "diracx:folder": True}


def test_a_folder_written_in_the_inputs_keeps_its_listing(submit: Submit, server: Server) -> None:
    written(main_cwl="inputs: {x: Directory}", data__a="1")
    Path("in.yaml").write_text(
        "x: {class: Directory, basename: d, listing: [{class: File, path: data/a}, "
        "{class: Directory, basename: e, listing: []}]}\n"
    )
    folder = submit("main.cwl", "in.yaml")["inputs"]["x"]
    file, inner = folder.pop("listing")

    assert folder == {"class": "Directory", "basename": "d"}
    assert server.content(file) == b"1"
    assert inner == {"class": "Directory", "basename": "e", "listing": []}


def test_a_folder_that_contains_itself_is_refused(refused: Refused) -> None:
    written(main_cwl="inputs: {x: Directory}", folder__a="1")
    os.symlink("..", "folder/back")

    assert "leads back" in refused("main.cwl", "--input", "x=folder").stderr


def test_secondary_files_are_uploaded_given_or_found(submit: Submit, server: Server) -> None:
    written(
        main_cwl="inputs:\n"
        "  reads: {type: 'File[]', secondaryFiles: [.bai, {pattern: ^.txt}, .no?, $(x)]}\n"
        "  other: File\n"
    )
    for name in ("a.bam", "a.bam.bai", "a.txt", "o", "o.idx"):
        Path(name).write_text(name)
    Path("in.yaml").write_text("other: {class: File, path: o, secondaryFiles: [{class: File, path: o.idx}]}")
    sent = submit("main.cwl", "in.yaml", "--input", "reads=[a.bam]")["inputs"]

    assert [server.content(one) for one in sent["reads"][0]["secondaryFiles"]] == [b"a.bam.bai", b"a.txt"]
    assert server.content(sent["other"]["secondaryFiles"][0]) == b"o.idx"


@pytest.mark.parametrize(
    ("given", "words"),
    [("x=none", "none does not exist"), ("x={class: Directory, path: file}", "file is no folder")],
)
def test_an_input_file_that_is_not_there_is_named(refused: Refused, given: str, words: str) -> None:
    written(main_cwl="inputs: {x: File}", file="")
    result = refused("main.cwl", "--input", given)

    assert result.exit_code == 2
    assert result.stderr.startswith("diracx: input 'x': ")
    assert words in result.stderr


def test_a_check_uploads_small_files_only(diracx: Run, server: Server) -> None:
    written(main_cwl="inputs: {a: File, b: File}", small="x", large="x" * 100_000)
    server.gives("POST", "/api/workflows/check", {"ok": True, "diagnostics": [], "graph": {"nodes": []}})
    result = diracx("workflows", "check", "main.cwl", "--input", "a=small", "--input", "b=large")
    sent = server.asked("POST", "/api/workflows/check")[0].body["inputs"]

    assert result.exit_code == 0, result.output
    assert server.content(sent["a"]) == b"x"
    assert sent["b"]["size"] == 100_000
    assert len(server.store) == 1
