"""Secondary files that parameters name: which of those on this machine are sent, and which are not."""

from pathlib import Path

import pytest

from tests.unit.cli.answers import written
from tests.unit.cli.conftest import Refused, Submit
from tests.unit.cli.server import Server

RECORD = "{f: {type: File, secondaryFiles: .s}, many: {type: 'File[]', secondaryFiles: .t}}"
VALUES = "r: {f: {class: File, path: a}, many: [{class: File, path: b}, {class: File, path: c}]}\n"
HEAD = "cwlVersion: v1.2\nclass: CommandLineTool\n"


def names(files: list[dict[str, str]] | None) -> list[str]:
    """The basenames of Files."""
    return [one["basename"] for one in files or []]


@pytest.mark.parametrize(
    "documents",
    [
        {"main_cwl": f"inputs: {{r: {{type: {{type: record, fields: {RECORD}}}}}}}"},
        {"main_cwl": f"inputs: {{r: {{type: ['null', {{type: record, fields: {RECORD}}}]}}}}"},
        {
            "main_cwl": "inputs: {r: 'T?'}\nrequirements: {SchemaDefRequirement: {types: "
            f"[{{name: T, type: record, fields: {RECORD}}}]}}}}"
        },
        {
            "main_cwl": "inputs: {r: 'types.cwl#T'}\nrequirements: [{class: SchemaDefRequirement, "
            "types: [{$import: types.cwl}]}]",
            "types_cwl": "{name: T, type: record, fields: [{name: f, type: File, secondaryFiles: .s}, "
            "{name: many, type: {type: array, items: File}, secondaryFiles: [{pattern: .t}]}]}",
        },
    ],
    ids=["inline", "optional", "named", "imported"],
)
def test_those_of_a_records_fields_are_sent(
    submit: Submit, server: Server, documents: dict[str, str]
) -> None:
    written(**documents, inputs=VALUES)
    for name in ("a", "a.s", "a.t", "b", "b.t", "c", "c.t", "c.s"):
        Path(name).write_text(name)
    sent = submit("main.cwl", "inputs")["inputs"]["r"]

    assert server.content(sent["f"]["secondaryFiles"][0]) == b"a.s"
    assert names(sent["f"]["secondaryFiles"]) == ["a.s"]
    assert [names(one["secondaryFiles"]) for one in sent["many"]] == [["b.t"], ["c.t"]]


def test_those_of_records_in_an_array_are_sent(submit: Submit) -> None:
    items = f"{{type: array, items: {{type: record, fields: {RECORD}}}}}"
    written(main_cwl=f"inputs: {{r: {{type: {items}}}}}", inputs="r: [{f: {class: File, path: a}}]\n")
    for name in ("a", "a.s"):
        Path(name).write_text(name)

    assert names(submit("main.cwl", "inputs")["inputs"]["r"][0]["f"]["secondaryFiles"]) == ["a.s"]


@pytest.mark.parametrize(
    "parameter",
    [
        "{type: File, secondaryFiles: [.z, {pattern: ^.idx}, .no?], default: %s}",
        "{type: {type: record, fields: {f: {type: File, secondaryFiles: [.z, ^.idx]}}}, default: {f: %s}}",
    ],
    ids=["file", "record"],
)
def test_those_of_a_default_file_come_with_the_documents(submit: Submit, parameter: str) -> None:
    default = parameter % "{class: File, location: data/a%20b.txt}"
    written(main_cwl=f"{HEAD}inputs:\n  x: {default}\n", data__other="")
    for name in ("a b.txt", "a b.txt.z", "a b.idx"):
        Path("data", name).write_text(name)

    assert set(submit("main.cwl")["files"]) == {
        "main.cwl",
        "data/a b.txt",
        "data/a b.txt.z",
        "data/a b.idx",
    }


def test_those_of_default_files_in_other_documents_come_along(submit: Submit) -> None:
    written(
        main_cwl="class: Workflow\ninputs: {}\nsteps: {one: {run: tools/a.cwl, in: {}, out: []}}\n",
        tools__a_cwl="inputs: {x: {type: File, secondaryFiles: .z, default: {class: File, location: d}}}",
        tools__d="",
        tools__d_z="",
    )
    Path("tools/d_z").rename("tools/d.z")

    assert set(submit("main.cwl")["files"]) == {"main.cwl", "tools/a.cwl", "tools/d", "tools/d.z"}


def test_one_of_a_default_file_that_is_a_link_to_the_outside_is_refused(
    refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("key")
    written(main_cwl="inputs: {x: {type: File, secondaryFiles: .z, default: {class: File, path: d}}}", d="")
    Path("d.z").symlink_to(tmp_path / "key")

    assert "lies outside" in refused("main.cwl").stderr


def test_a_default_that_holds_itself_is_left_to_the_server(submit: Submit) -> None:
    written(main_cwl="inputs: {x: {type: File, secondaryFiles: .z, default: &x [*x]}}")

    assert set(submit("main.cwl")["files"]) == {"main.cwl"}


def test_names_that_refer_to_the_file_are_found(submit: Submit) -> None:
    patterns = "[$(self.basename).idx, {pattern: $(self.nameroot).txt}, '$(self.nameroot).6$(self.nameext)']"
    written(main_cwl=f"inputs: {{x: {{type: File, secondaryFiles: {patterns}}}}}")
    for name in ("a.bam", "a.bam.idx", "a.txt", "a.6.bam"):
        Path(name).write_text(name)

    sent = submit("main.cwl", "--input", "x=a.bam")["inputs"]["x"]
    assert names(sent["secondaryFiles"]) == ["a.bam.idx", "a.txt", "a.6.bam"]


def test_what_only_javascript_knows_is_left_to_the_server(submit: Submit) -> None:
    code = (
        "${ return [{'class': 'File', 'location': inputs.y.location, 'basename': 'a/" + "x" * 300 + "'}]; }"
    )
    written(main_cwl=f'inputs: {{x: {{type: File, secondaryFiles: ["{code}"]}}, y: File}}', a="", b="")

    sent = submit("main.cwl", "--input", "x=a", "--input", "y=b")["inputs"]
    assert "secondaryFiles" not in sent["x"]
    assert sent["y"]["basename"] == "b"


@pytest.mark.parametrize(
    "pattern", ["/../../key", "^^^/.netrc", "$(self.nameext).netrc", "'$(self.nameext)'", "/.", "//"]
)
def test_a_pattern_cannot_choose_a_file_that_is_called_otherwise(submit: Submit, pattern: str) -> None:
    written(main_cwl=f"inputs: {{x: {{type: File, secondaryFiles: [{pattern}]}}}}", home__a="a", key="key")
    Path("home/.netrc").write_text("secret")

    assert "secondaryFiles" not in submit("main.cwl", "--input", "x=home/a")["inputs"]["x"]


def test_a_pattern_on_a_hidden_file_cannot_choose_another(submit: Submit) -> None:
    written(main_cwl="inputs: {x: {type: File, secondaryFiles: [^.netrc]}}")
    for name in (".config", ".netrc"):
        Path(name).write_text(name)

    assert "secondaryFiles" not in submit("main.cwl", "--input", "x=.config")["inputs"]["x"]


def test_the_basename_that_is_given_is_the_one_that_patterns_extend(submit: Submit) -> None:
    written(
        main_cwl="inputs: {x: {type: File, secondaryFiles: .bai}}",
        inputs="x: {class: File, path: raw, basename: a.bam}",
        raw="",
    )
    Path("a.bam.bai").write_text("")
    Path("raw.bai").write_text("")

    assert names(submit("main.cwl", "inputs")["inputs"]["x"]["secondaryFiles"]) == ["a.bam.bai"]
