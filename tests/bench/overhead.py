"""What a workflow costs beyond its tools: a scatter of N times `true`, here and with cwltool.

`python -m tests.bench overhead [N]` prints seconds and jobs per second of both.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.system import FINAL, System

TOOL = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: 'true'
inputs: {number: int}
outputs: []
"""
WORKFLOW = """cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {numbers: "int[]"}
outputs: []
steps:
  nothing: {run: tool.cwl, scatter: number, in: {number: numbers}, out: []}
"""


def ours(folder: Path, count: int) -> float:
    """Seconds from the submission to Done, on the embedded defaults, with a pilot per core."""
    with System(folder / "data") as system:
        # The first workflow pays for loading libraries; cwltool's time holds its own start as well.
        system.wait(system.submit({"workflow.cwl": WORKFLOW, "tool.cwl": TOOL}, {"numbers": [1, 2]}))
        began = time.perf_counter()
        workflow_id = system.submit(
            {"workflow.cwl": WORKFLOW, "tool.cwl": TOOL}, {"numbers": list(range(count))}
        )
        while (status := system.workflow(workflow_id)["status"]) not in FINAL:
            time.sleep(0.5)
        assert status == "Done", system.workflow(workflow_id)
        return time.perf_counter() - began


def theirs(folder: Path, count: int) -> float:
    """Seconds that `cwltool --parallel` takes for the same."""
    (folder / "tool.cwl").write_text(TOOL)
    (folder / "workflow.cwl").write_text(WORKFLOW)
    (folder / "inputs.json").write_text(json.dumps({"numbers": list(range(count))}))
    command = [sys.executable, "-m", "cwltool", "--parallel", "--quiet", "workflow.cwl", "inputs.json"]
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main(count: int = 1000) -> None:
    """Measure both and print them side by side."""
    print(f"a scatter of {count} x `true`:")
    for name, measure in (("ours", ours), ("cwltool", theirs)):
        with tempfile.TemporaryDirectory() as folder:
            seconds = measure(Path(folder), count)
        print(f"{name:>8}: {seconds:7.1f} s  {count / seconds:6.1f} jobs/s", flush=True)
