"""Which files are sent with a document: those that it refers to, and no others."""

import base64
from pathlib import Path

import pytest

from tests.unit.cli.answers import written
from tests.unit.cli.conftest import Refused, Submit

STEP = "class: Workflow\nsteps:\n  one: {{run: {}, in: {{}}, out: []}}\n"
TOOL = "class: CommandLineTool\ninputs: {}\n"


def test_documents_are_followed_through_run_import_and_include(submit: Submit) -> None:
    written(
        main_cwl="class: Workflow\nrequirements: [{$import: types.yml}]\nsteps:\n"
        "  - {id: one, run: tools/a.cwl#x, in: {}, out: []}\n"
        "  - {id: two, run: {steps: [{run: 'tools/my%20b.cwl', in: {}, out: []}]}, in: [], out: []}\n",
        tools__a_cwl="$graph: [{id: x, expressionLib: [{$include: lib.js}]}]",
        tools__lib="",
    )
    Path("tools/my b.cwl").write_text(TOOL)
    Path("tools/lib.js").write_text("var x")
    Path("types.yml").write_text("{$include: more.txt}")
    Path("more.txt").write_text("more")
    body = submit("main.cwl")

    assert set(body["files"]) == {
        "main.cwl",
        "tools/a.cwl",
        "tools/lib.js",
        "tools/my b.cwl",
        "types.yml",
        "more.txt",
    }
    assert body["files"]["tools/lib.js"] == "var x"
    assert body["main"] == "main.cwl"


def test_the_fragment_says_which_process_is_run(submit: Submit) -> None:
    written(packed_cwl="$graph: [{id: a, class: Workflow, steps: [{run: '#b', in: {}, out: []}]}]")

    assert submit("packed.cwl#a")["main"] == "packed.cwl#a"


def test_default_files_folders_and_listings_come_along(submit: Submit) -> None:
    written(
        main_cwl="class: CommandLineTool\ninputs:\n"
        "  a: {type: File, default: {class: File, location: data/a%20b.txt}}\n"
        "  b: {type: Directory, default: {class: Directory, path: data/deep}}\n"
        "  c: {type: File, default: {class: File, location: missing.txt}}\n"
        "  d: {type: File, default: {class: File, location: 'http://example.org/x'}}\n"
        "requirements: {InitialWorkDirRequirement: {listing: [{class: File, path: run.py}]}}\n",
        data__deep__one="1",
        data__deep__two__three="3",
    )
    Path("data/a b.txt").write_text("ab")
    Path("run.py").write_bytes(b"\xff\xfe")
    files = submit("main.cwl")["files"]

    assert set(files) == {"main.cwl", "data/a b.txt", "data/deep/one", "data/deep/two/three", "run.py"}
    assert files["run.py"] == {"base64": base64.b64encode(b"\xff\xfe").decode()}


def test_an_input_that_is_called_run_is_no_document(submit: Submit) -> None:
    written(
        main_cwl="class: Workflow\ninputs: {run: string}\nsteps: {a: {in: {run: run}, out: [], run: '#b'}}\n"
    )

    assert set(submit("main.cwl")["files"]) == {"main.cwl"}


def test_documents_that_refer_to_each_other_are_sent_once(submit: Submit) -> None:
    written(a_cwl=STEP.format("b.cwl"), b_cwl=STEP.format("a.cwl"))

    assert set(submit("a.cwl")["files"]) == {"a.cwl", "b.cwl"}


def test_yaml_that_refers_to_itself_is_read_once(submit: Submit) -> None:
    written(a_cwl="class: Workflow\nhints: &x [*x]\n")

    assert set(submit("a.cwl")["files"]) == {"a.cwl"}


def test_a_document_above_makes_the_common_folder_the_root(submit: Submit) -> None:
    written(
        flows__main_cwl=STEP.format("../tools/a.cwl"),
        tools__a_cwl="hints: {$import: ../types/t.yml}",
        types__t="",
    )
    Path("types/t.yml").write_text("{}")
    body = submit("flows/main.cwl")

    assert set(body["files"]) == {"flows/main.cwl", "tools/a.cwl", "types/t.yml"}
    assert body["main"] == "flows/main.cwl"


def test_a_missing_document_is_shown_where_it_is_named(refused: Refused) -> None:
    written(main_cwl=STEP.format("tool.cwl"))
    result = refused("main.cwl")

    assert result.exit_code == 34
    assert result.stderr == (
        "diracx: invalid CWL, 1 error\n"
        "main.cwl:3:14: there is no file tool.cwl\n"
        "      one: {run: tool.cwl, in: {}, out: []}\n"
        "                 ^\n"
    )


@pytest.mark.parametrize("reference", ["../secret.txt", "{home}/key", "file://{home}/key", "link.txt"])
def test_nothing_outside_the_folder_is_sent(refused: Refused, reference: str, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "key").write_text("key")
    Path("flows").mkdir()
    Path("secret.txt").write_text("secret")
    Path("flows/link.txt").symlink_to(tmp_path / "home" / "key")
    reference = reference.format(home=tmp_path / "home")
    written(flows__main_cwl=f"hints: {{$include: '{reference}'}}")
    result = refused("flows/main.cwl")

    assert result.exit_code == 34
    assert f"flows/main.cwl:1:19: {reference}" in result.stderr
    assert "lies outside" in result.stderr


def test_a_stray_document_at_home_does_not_open_the_home_folder(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    written(
        x_cwl=TOOL, key="key", a__b__main_cwl=STEP.format("../../x.cwl") + "hints: {$include: ../../key}\n"
    )

    assert "lies outside" in refused("a/b/main.cwl").stderr


def test_an_absolute_path_inside_is_asked_to_be_relative(refused: Refused) -> None:
    written(tool_cwl=TOOL, data="x")
    written(main_cwl=f"inputs: {{a: {{default: {{class: File, path: {Path('data').absolute()}}}}}}}")

    assert "write the path relative to this document" in refused("main.cwl").stderr


def test_documents_that_bring_too_much_are_refused(refused: Refused) -> None:
    written(main_cwl="hints: {$include: big}")
    with open("big", "wb") as file:
        file.truncate(17 * 1024 * 1024)
    result = refused("main.cwl")

    assert result.exit_code == 1
    assert "give large data as inputs" in result.stderr


def test_a_workflow_that_is_not_there_is_wrong_usage(refused: Refused) -> None:
    result = refused("nothing.cwl")

    assert result.exit_code == 2
    assert result.stderr == "diracx: there is no file nothing.cwl\n"


def test_ontologies_come_along_where_they_are_there(submit: Submit) -> None:
    written(
        main_cwl="$schemas: [types/edam.owl, missing.owl, 'http://example.org/x.owl']\n"
        "class: Workflow\nsteps: {one: {run: tools/a.cwl, in: {}, out: []}}\n",
        tools__a_cwl="$schemas: ../more\nclass: CommandLineTool\n",
        types__edam="<owl/>",
        more="",
    )
    Path("types/edam").rename("types/edam.owl")
    files = submit("main.cwl")["files"]

    assert set(files) == {"main.cwl", "types/edam.owl", "tools/a.cwl", "more"}
    assert files["types/edam.owl"] == "<owl/>"


def test_no_ontology_outside_the_folder_is_sent(refused: Refused) -> None:
    written(key="secret", flows__main_cwl="$schemas:\n  - ../key\nclass: CommandLineTool\n")
    result = refused("flows/main.cwl")

    assert "flows/main.cwl:2:5: ../key" in result.stderr
    assert "lies outside" in result.stderr


FILE_ABOVE = "requirements: {InitialWorkDirRequirement: {listing: [{class: File, location: ../data/a}]}}\n"


def test_files_of_a_folder_that_the_user_trusts_may_be_brought(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(suite__flows__main_cwl=FILE_ABOVE, suite__data__a="a")
    monkeypatch.setenv("DIRACX_CWL_FOLDER", "suite")
    body = submit("suite/flows/main.cwl")

    assert set(body["files"]) == {"flows/main.cwl", "data/a"}
    assert body["main"] == "flows/main.cwl"


@pytest.mark.parametrize("stated", ["data", "flows", "", "elsewhere"])
def test_a_trusted_folder_is_of_no_use_to_documents_elsewhere(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, stated: str
) -> None:
    written(flows__main_cwl=FILE_ABOVE, data__a="a")
    monkeypatch.setenv("DIRACX_CWL_FOLDER", stated)

    assert "lies outside" in refused("flows/main.cwl").stderr
