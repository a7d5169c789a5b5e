"""`python -m tests.bench cwl`: the engine of workflows, with cwltool and Toil beside it in the same run.

Everything is started here, and stopped at the end. docs/measure-the-engine.md says how to read it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench import cwl_javascript, cwl_wide
from tests.bench.peer import environment_with
from tests.system import System

PARTS = ("tools", "wide", "javascript")
TOIL = "toil[cwl]==9.6.0"
TOOL = """cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {xs: 'int[]'}
outputs: []
steps:
  one:
    run:
      class: CommandLineTool
      baseCommand: 'true'
      inputs: {x: int}
      outputs: []
    scatter: x
    in: {x: xs}
    out: []
"""
# As many as there are cores.
PILOTS = os.cpu_count() or 1


def main(*arguments: str) -> None:
    """Measure what is asked for, and print it as it comes."""
    stated = _stated(arguments)
    cache = Path(tempfile.gettempdir()) / "diracx-bench"
    for part in stated.only or PARTS:
        if part == "tools":
            for count in stated.tools or [1000]:
                tools(count, cache, stated.seconds)
        elif part == "wide":
            print(cwl_wide.HEADER)
            for database in stated.database or ("sqlite", "mariadb"):
                for elements in stated.elements or [100_000]:
                    print(cwl_wide.wide(database, elements, stated.kills), flush=True)
        else:
            cwl_javascript.main()


def tools(count: int, cache: Path, seconds: int) -> None:
    """A scatter over `true`: seconds of wall time for all, and per tool."""
    runners: dict[str, Callable[[Path, int, int], float | None]] = {
        f"ours, {PILOTS} pilots": _ours,
        "cwltool --parallel": _cwltool,
        "Toil": lambda folder, count, seconds: _toil(folder, count, seconds, cache),
    }
    print(f"{count} tools that do nothing{'':12}{'wall s':>10}{'ms per tool':>14}")
    for name, run in runners.items():
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
            folder = Path(made)
            (folder / "wide.cwl").write_text(TOOL)
            (folder / "inputs.json").write_text(json.dumps({"xs": list(range(count))}))
            took = run(folder, count, seconds)
        shown = f"{took:>10.1f}{took / count * 1000:>14.1f}" if took else f"  not finished in {seconds} s"
        print(f"{name:36}{shown}", flush=True)


def _ours(folder: Path, count: int, seconds: int) -> float | None:
    quick = {"DIRACX_HEARTBEAT_SECONDS": "30", "DIRACX_LEASE_SECONDS": "30", "DIRACX_MATCHED_SECONDS": "60"}
    with System(folder / "system", quick, f"--slots={PILOTS}") as system:
        # The pilots have started and loaded their libraries.
        system.wait(system.submit({"wide.cwl": TOOL}, {"xs": [0] * PILOTS}, "wide.cwl"))
        began = time.perf_counter()
        inputs = {"xs": list(range(count))}
        ended = system.wait(system.submit({"wide.cwl": TOOL}, inputs, "wide.cwl"), seconds)
        took = time.perf_counter() - began
        assert ended["status"] == "Done", ended
        return took


def _cwltool(folder: Path, count: int, seconds: int) -> float | None:
    return _timed([sys.executable, "-m", "cwltool", "--parallel", "--quiet"], folder, seconds)


def _toil(folder: Path, count: int, seconds: int, cache: Path) -> float | None:
    home = environment_with(TOIL, cache)
    runner = [str(home / "bin" / "toil-cwl-runner"), "--logOff", "--jobStore", str(folder / "store")]
    return _timed([*runner, "--workDir", str(folder), "--maxCores", str(PILOTS)], folder, seconds)


def _timed(command: Sequence[str], folder: Path, seconds: int) -> float | None:
    """Wall time of a runner in s; None when it was not finished in time."""
    began = time.perf_counter()
    whole = [*command, str(folder / "wide.cwl"), str(folder / "inputs.json")]
    # Runners call programs that are installed beside them.
    beside = f"{Path(command[0]).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "TMPDIR": str(folder), "PATH": beside}
    try:
        subprocess.run(whole, cwd=folder, check=True, timeout=seconds, capture_output=True, env=environment)
    except subprocess.TimeoutExpired:
        return None
    return time.perf_counter() - began


def _stated(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench cwl")
    parser.add_argument("--only", action="append", choices=PARTS, help="one part; may be repeated")
    parser.add_argument("--tools", action="append", type=int, help="so many tools [1000]; may be repeated")
    parser.add_argument("--elements", action="append", type=int, help="of a wide scatter [100000]")
    parser.add_argument("--database", action="append", choices=["sqlite", "mariadb"], help="[both]")
    parser.add_argument("--kills", type=int, default=0, help="kill -9 the coordinator so often on each way")
    parser.add_argument("--seconds", type=int, default=600, help="for each runner of tools [600]")
    return parser.parse_args(arguments)
