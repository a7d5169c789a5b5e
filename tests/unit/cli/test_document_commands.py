"""`diracx workflows` about documents: checked, drawn, and given as an inputs file; also without a server."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from ruamel.yaml import YAML

from tests.unit.cli.answers import GRAPH, a_detail, a_diagnostic, written
from tests.unit.cli.conftest import Run, json_of
from tests.unit.cli.server import Answer, Server

DETAIL = "/api/workflows/12"
TOOL = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: cat
inputs:
  file: {type: File, loadContents: true, inputBinding: {}}
  cuts: {type: {type: record, name: Cuts, fields: {low: float, tags: "string[]"}}}
  times: {type: int, default: 3}
outputs: []
"""
WORKFLOW = """cwlVersion: v1.2
class: Workflow
requirements: {StepInputExpressionRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {file: File}
outputs: []
steps:
  one:
    run: tool.cwl
    in:
      file: {source: file, loadContents: true}
      cuts: {default: {low: 1.5, tags: []}}
      times: {valueFrom: "${return inputs.file.contents.length;}"}
    out: []
"""


@pytest.fixture
def document(environment: None) -> str:
    """A document in the working folder."""
    Path("x.cwl").write_text("class: CommandLineTool\n")
    return "x.cwl"


@pytest.fixture
def tool(environment: None) -> str:
    """A tool, and a file for it."""
    written(tool_cwl=TOOL, data="12")
    return "tool.cwl"


def test_a_checked_workflow_is_ok_with_its_number_of_steps(
    diracx: Run, server: Server, document: str
) -> None:
    warning = a_diagnostic("x.cwl", 1, 8, "old", severity="warning")
    server.gives("POST", "/api/workflows/check", {"ok": True, "diagnostics": [warning], "graph": GRAPH})
    result = diracx("workflows", "check", document)

    assert result.exit_code == 0
    assert result.stdout == "OK: x.cwl can run: 3 steps\n"
    assert "x.cwl:1:8: warning: old\n    class: CommandLineTool\n           ^\n" in result.stderr


def test_the_graph_is_a_tree_of_steps_with_states(diracx: Run, server: Server) -> None:
    server.gives("GET", DETAIL, a_detail())
    server.gives("GET", f"{DETAIL}/graph", GRAPH)

    assert diracx("workflows", "graph", 12, "-o", "table").stdout == (
        "workflow 12 pi Running\n"
        "├── simulate Running 7/8 (2 reused)\n"
        "└── end Waiting  after simulate\n"
        '    └── plot "x" Waiting\n'
    )
    assert json_of(diracx("workflows", "graph", 12)) == GRAPH
    assert diracx("workflows", "graph", 12, "-o", "id").stdout == "simulate\nend\nend/plot\n"


def test_a_step_that_never_began_is_drawn_as_not_run(diracx: Run, server: Server) -> None:
    nodes = [{**node, "state": "Not run"} for node in GRAPH["nodes"] if node["path"] != "simulate"]
    server.gives("GET", DETAIL, a_detail("Failed"))
    server.gives("GET", f"{DETAIL}/graph", {"nodes": nodes, "edges": []})

    assert diracx("workflows", "graph", 12, "-o", "table").stdout == (
        'workflow 12 pi Failed\n└── end Not run\n    └── plot "x" Not run\n'
    )


def test_the_graph_is_given_to_graphviz(diracx: Run, server: Server) -> None:
    server.gives("GET", f"{DETAIL}/graph", GRAPH)
    lines = diracx("workflows", "graph", 12, "--dot").stdout.splitlines()

    assert lines[0] == 'digraph "workflow 12" {'
    assert '  "simulate" [label="simulate Running scatter 7/8 tool", color="#1976d2", penwidth=2];' in lines
    assert '  "end/plot" [label="plot \\"x\\" Waiting tool", color="#ffb300", penwidth=2];' in lines
    assert '  "simulate" -> "end";' in lines
    assert lines[-1] == "}"


def test_a_picture_of_a_workflow_says_the_states_in_words(diracx: Run, server: Server) -> None:
    server.gives("GET", f"{DETAIL}/graph", GRAPH)
    picture = diracx("workflows", "graph", 12, "--svg").stdout

    assert picture.startswith("<svg ") and picture.endswith("</svg>\n")
    assert ">Running · scatter 7/8 · tool<" in picture


def test_a_check_without_a_server_reads_the_values_and_their_files(
    diracx: Run, server: Server, tool: str
) -> None:
    written(main_cwl=WORKFLOW)
    Path("in.yaml").write_text("file: {class: File, path: data}\n")
    result = diracx("workflows", "check", "main.cwl", "in.yaml", "--offline")

    size = "1 step, 1 job, 1 core if all run at once"
    told = f"OK: main.cwl can run: {size}; its sites and LFNs were not looked up\n"
    assert result.stdout == told, result.stderr
    assert not server.requests


def test_a_wrong_value_is_shown_where_it_is_declared_and_where_it_is_given(diracx: Run, tool: str) -> None:
    Path("in.yaml").write_text("file: {class: File, path: data}\ncuts:\n  low: much\n  tags: []\ntime: 4\n")
    result = diracx("workflows", "check", tool, "in.yaml", "--offline")

    assert result.exit_code == 34
    assert result.stderr.startswith("diracx: invalid CWL, 1 error\ntool.cwl:6:3: cuts.low: ")
    assert "in.yaml:3:8: note: the value given is this one\n      low: much\n           ^\n" in result.stderr


def test_a_value_that_no_input_takes_is_shown_where_it_is_given(diracx: Run, tool: str) -> None:
    Path("in.yaml").write_text("file: {class: File, path: data}\ncuts: {low: 1, tags: []}\ntime: 4\n")
    result = diracx("workflows", "check", tool, "in.yaml", "--offline")

    assert result.exit_code == 0
    assert "in.yaml:3:1: warning: there is no input 'time'\n    time: 4\n    ^\n" in result.stderr
    assert "Did you mean `times`?" in result.stderr


def test_inputs_that_are_no_yaml_are_shown_where_they_break(diracx: Run, server: Server, tool: str) -> None:
    Path("in.yaml").write_text("a: 1\nfile: {class: File\nb: 2\n")
    found = [{"severity": "error", "file": "inputs", "line": None, "column": None, "message": "not YAML"}]
    detail = {"kind": "invalid", "message": "no", "diagnostics": found}
    server.gives("POST", "/api/workflows/check", Answer({"detail": detail}, 422))

    for options in ([], ["--offline"]):
        assert "in.yaml:3:2: " in diracx("workflows", "check", tool, "in.yaml", *options).stderr


def test_a_missing_lfn_is_shown_where_it_is_given(diracx: Run, server: Server, tool: str) -> None:
    Path("in.yaml").write_text("file:\n  class: File\n  location: lfn:/vo/x\ncuts: {low: 1, tags: []}\n")
    message = "file: 'lfn:/vo/x' is not in the file catalogue of vo"
    found = [{"severity": "error", "file": "inputs", "line": None, "column": None, "message": message}]
    detail = {"kind": "invalid", "message": message, "diagnostics": found}
    server.gives("POST", "/api/workflows/check", Answer({"detail": detail}, 422))

    assert (
        f"in.yaml:3:13: {message}\n      location: lfn:/vo/x\n                ^\n"
        in diracx("workflows", "check", tool, "in.yaml").stderr
    )


def test_a_document_is_wrong_at_its_place_without_a_server_too(diracx: Run, tool: str) -> None:
    written(main_cwl=WORKFLOW.replace("file: {source: file", "file: {source: flie"))
    Path("sub").mkdir()
    Path("main.cwl").rename("sub/main.cwl")
    Path("tool.cwl").rename("sub/tool.cwl")
    result = diracx("workflows", "check", "sub/main.cwl", "--offline")

    assert result.exit_code == 34
    assert "sub/main.cwl:10:14: " in result.stderr
    assert "      file: {source: flie" in result.stderr


def test_a_document_is_drawn_without_a_server(diracx: Run, server: Server, tool: str) -> None:
    written(main_cwl=WORKFLOW)
    found = json_of(diracx("workflows", "graph", "main.cwl"))
    picture = diracx("workflows", "graph", "main.cwl", "--svg").stdout

    assert [node["path"] for node in found["nodes"]] == ["one"]
    assert found["inputs"] == [{"name": "file", "type": "File", "to": ["one"]}]
    assert "one" in "".join(ElementTree.fromstring(picture).itertext())
    assert '  "<file" -> "one";' in diracx("workflows", "graph", "main.cwl", "--dot").stdout
    assert diracx("workflows", "graph", "main.cwl", "-o", "table").stdout == "main.cwl\n└── one\n"
    assert not server.requests


def test_a_template_is_an_inputs_file_that_passes_the_check(diracx: Run, server: Server, tool: str) -> None:
    assert diracx("workflows", "template", tool, "-o", "in.yaml").exit_code == 0
    text = Path("in.yaml").read_text()
    Path("in.yaml").write_text(text.replace("path/of/the/file", "data"))

    assert YAML(typ="safe").load(text).keys() == {"file", "cuts"}
    assert "# int, the default is\n# times: 3\n" in text
    assert diracx("workflows", "check", tool, "in.yaml", "--offline").exit_code == 0
    assert diracx("workflows", "template", tool).stdout == text
    assert diracx("workflows", "template", tool, "-o", "in.yaml").exit_code == 1
    assert not server.requests


def test_running_here_starts_nothing_for_a_document_that_is_wrong(
    diracx: Run, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(main_cwl=WORKFLOW.replace("class: Workflow", "class: Wrokflow"))
    monkeypatch.setenv("TMPDIR", "/nonexistent")

    assert diracx("workflows", "run-here", "main.cwl").exit_code == 34
