"""`diracx workflows run-here` and `crate`: a private system runs a workflow, and nothing of it is left."""

import json
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from diracx_tasks.cli.here import private_system, run_on
from diracx_tasks.cli.main import cli
from diracx_tasks.core.errors import DiracXError
from tests.unit.cli.answers import written

pytestmark = pytest.mark.integration
TOOL = """cwlVersion: v1.2
class: CommandLineTool
requirements: {InlineJavascriptRequirement: {}}
baseCommand: [sh, -c]
inputs:
  code: {type: int, default: 0}
  text: File
arguments: ['cat "$1"; echo bye >&2; exit "$2"', sh, $(inputs.text.path), $(inputs.code)]
stdout: out.txt
outputs:
  out: stdout
  length: {type: int, outputBinding: {outputEval: $(inputs.text.size)}}
"""


def processes() -> set[int]:
    """Everything below this process."""
    return {one.pid for one in psutil.Process().children(recursive=True)}


def test_workflows_run_on_this_machine_and_leave_only_their_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # A server that the user has stated is not asked.
    monkeypatch.setenv("DIRACX_URL", "http://127.0.0.1:1")
    written(tool_cwl=TOOL)
    Path("notes.txt").write_text("hello\n")
    Path("in.yaml").write_text("text: {class: File, path: notes.txt}\n")
    before = processes()
    folder = tmp_path / "private"
    folder.mkdir()
    with private_system(folder, 1) as client:
        outputs = run_on(client, "tool.cwl", Path("in.yaml"), (), Path("out"), is_quiet=True)
        with pytest.raises(DiracXError, match="exit code 3"):
            run_on(client, "tool.cwl", Path("in.yaml"), ("code=3",), Path("out"), is_quiet=True)
        monkeypatch.setenv("DIRACX_URL", client.url)
        monkeypatch.setenv("DIRACX_TOKEN", client.token)
        packed = CliRunner().invoke(cli, ["workflows", "crate", "1", "-o", "crate.zip"])

    assert processes() <= before
    assert Path("out/out.txt").read_text() == "hello\n"
    assert outputs["length"] == 6
    assert outputs["out"]["path"] == str(tmp_path / "out" / "out.txt")
    assert "[tool.cwl] bye" in capfd.readouterr().err
    assert packed.exit_code == 0, packed.output
    _assert_whole(Path("crate.zip"))


def _assert_whole(crate: Path) -> None:
    """Fail unless the crate has all files that its metadata lists, and the output among them."""
    with zipfile.ZipFile(crate) as archive:
        names = set(archive.namelist())
        metadata: dict[str, Any] = json.loads(archive.read("ro-crate-metadata.json"))
        assert archive.read("outputs/out.txt") == b"hello\n"
    found = {one["@id"]: one for one in metadata["@graph"]}
    parts = [one["@id"] for one in found["./"]["hasPart"]]

    assert {one for one in parts if not one.startswith("sandbox:")} == names - {"ro-crate-metadata.json"}
    assert found["outputs/out.txt"]["contentSize"] == "6"
    assert {"@id": "outputs/out.txt"} in found["#run"]["result"]
