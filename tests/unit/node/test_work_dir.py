"""Files of the input sandbox lie where the tools of a job run."""

from pathlib import Path
from typing import Any

from tests.unit.node.conftest import Payloads
from tests.unit.node.documents import HEAD, a_bundle

JS = "requirements: {InlineJavascriptRequirement: {}}"
READ = "glob: out.txt, loadContents: true, outputEval: '$(self[0].contents)'"
TEXT = f"{{text: {{type: string, outputBinding: {{{READ}}}}}}}"
FIND = "find -L . -type f ! -name out.txt | sort > out.txt"
LISTED = f"""{HEAD}
baseCommand: [sh, -c, "{FIND}"]
inputs: {{script: 'File?', many: 'Any?'}}
outputs: {TEXT}
"""


def a_stored(path: Path, content: str) -> dict[str, Any]:
    """A File that has come to the node."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return {"class": "File", "location": path.as_uri(), "basename": path.name}


def sandboxed(*entries: str) -> list[dict[str, str]]:
    """Entries of an input sandbox: `input` or `input=path`."""
    return [
        {"source": source, "path": path} if path else {"source": source}
        for source, _, path in (one.partition("=") for one in entries)
    ]


def test_files_of_the_input_sandbox_lie_in_their_folders(payloads: Payloads, tmp_path: Path) -> None:
    payloads.input_sandbox = sandboxed("script", "script=conf", "many=conf/deep")
    inner = {"class": "Directory", "basename": "d", "listing": [a_stored(tmp_path / "in/y", "y")]}
    many = [a_stored(tmp_path / "in/x", "x"), inner, 7]
    tool = a_bundle(LISTED + JS)
    script = a_stored(tmp_path / "in/run.sh", "s")
    found = payloads.run(tool, script=script, many=many).outputs["text"].split()
    assert found == ["./conf/deep/d/y", "./conf/deep/x", "./conf/run.sh"]
    payloads.input_sandbox = sandboxed("script=.")
    assert payloads.run(tool, script=script).outputs["text"].split() == ["./run.sh"]
    # An input that is not given has no files.
    assert payloads.run(tool).outputs["text"].split() == []


def test_the_input_sandbox_comes_beside_what_the_tool_itself_wants_there(
    payloads: Payloads, tmp_path: Path
) -> None:
    payloads.input_sandbox = sandboxed("script=conf")
    script = a_stored(tmp_path / "in/run.sh", "s")
    for listing in ("[{entryname: own, entry: text}]", "'${return [inputs.many];}'"):
        asked = f"InitialWorkDirRequirement: {{listing: {listing}}}"
        tool = a_bundle(LISTED + JS.replace("{Inline", f"{{{asked}, Inline"))
        other = a_stored(tmp_path / "in/own", "o")
        found = payloads.run(tool, script=script, many=other).outputs["text"].split()
        assert found == ["./conf/run.sh", "./own"]


def test_every_tool_of_a_workflow_in_one_job_sees_its_input_sandbox(
    payloads: Payloads, tmp_path: Path
) -> None:
    payloads.input_sandbox = sandboxed("settings=conf")
    workflow = """cwlVersion: v1.2
class: Workflow
inputs: {settings: File}
outputs: {text: {type: string, outputSource: only/text}}
steps: {only: {run: tool.cwl, in: [], out: [text]}}
"""
    bundle = a_bundle(workflow, tool__cwl=LISTED + JS)
    found = payloads.run(bundle, settings=a_stored(tmp_path / "in/s", "s")).outputs["text"]
    assert found.split() == ["./conf/s"]
