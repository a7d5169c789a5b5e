"""A pilot with several cores beside a whole system: the matcher fills it, and keeps out what does not fit."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from diracx_tasks.auth.tokens import issue_pilot
from diracx_tasks.core.database import session
from diracx_tasks.pilots import register
from tests.builders import environment
from tests.system import System, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
VO, SITE = "local", "DIRAC.Local.here"
# Each waits for all three: they end only when they run at once. The system's own pilot has one core.
TOGETHER = """
cwlVersion: v1.2
class: Workflow
requirements: {{ScatterFeatureRequirement: {{}}}}
inputs: {{names: "string[]"}}
outputs: []
steps:
  meet:
    scatter: name
    in: {{name: names}}
    out: []
    run:
      class: CommandLineTool
      requirements:
        ResourceRequirement: {{coresMin: 2}}
        ToolTimeLimit: {{timelimit: {seconds}}}
      inputs: {{name: {{type: string, inputBinding: {{position: 1}}}}}}
      outputs: []
      baseCommand: [sh, -c, 'touch {folder}/$0; until {all}; do sleep 0.1; done']
"""


@contextmanager
def a_pilot(system: System, folder: Path, *options: str) -> Iterator[str]:
    """The stamp of a pilot beside the system's own one, while the block lasts."""
    with environment(DIRACX_DATA=str(system.folder), DIRACX_URL=system.client.url):
        with session() as db:
            stamp = register.register(db, VO, site=SITE, grid_type="test")
        names = {"URL": system.client.url, "TOKEN": issue_pilot(VO, stamp, seconds=600), "PILOT_STAMP": stamp}
    command = [sys.executable, "-m", "diracx_tasks.node.pilot", "--site", SITE, "--containers", "none"]
    env = {**os.environ, **{f"DIRACX_{name}": value for name, value in names.items()}}
    with (folder / "pilot.log").open("ab") as log:
        one = subprocess.Popen([*command, *options], env=env, stdout=log, stderr=log)
    try:
        yield stamp
    finally:
        one.terminate()
        one.wait(60)


def test_jobs_of_several_cores_run_at_once_in_one_pilot(tmp_path: Path) -> None:
    with System(tmp_path / "data", {}, "--slots=1") as system:
        there = [f"[ -e {tmp_path}/{name} ]" for name in "abc"]
        documents = {
            name: TOGETHER.format(folder=tmp_path, seconds=seconds, all=" && ".join(there))
            for name, seconds in (("soon.cwl", 500), ("late.cwl", 90_000))
        }
        late = system.submit(documents, {"names": ["a"]}, "late.cwl")
        with a_pilot(system, tmp_path, "--cores", "6", "--ram-mb", "6000", "--wall-seconds", "3600") as stamp:
            soon = system.submit(documents, {"names": ["a", "b", "c"]}, "soon.cwl")
            ended = system.wait(soon, 120)
            assert ended["status"] == "Done", ended
        # It has no time for the other one.
        assert system.workflow(late)["status"] == "Running"
        assert [job["Status"] for job in system.jobs(late)] == ["Waiting"]
        found: list[dict[str, str]] = []

        def has_ended() -> bool:
            body = {"search": [{"parameter": "PilotStamp", "operator": "eq", "value": stamp}]}
            found[:] = system.client.post("/api/pilots/search", body)
            return found[0]["Status"] == "Done"

        wait_for(has_ended, 30, lambda: str(found))
        assert found[0]["StatusReason"].startswith("pilot was stopped; 3 jobs, ")
