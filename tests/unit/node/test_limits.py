"""What a payload may use, and what is said of one that uses more."""

from pathlib import Path
from typing import Any

import pytest

from diracx_tasks.node import limits
from diracx_tasks.node.limits import Limits
from diracx_tasks.node.offer import Slot
from diracx_tasks.node.use import Now
from tests.unit.node.conftest import SLOT, Run, sleeping
from tests.unit.node.documents import a_tool
from tests.unit.node.server import Server

# Enough for the process around a payload of CWL, and for Python, but not for what the payload takes.
MEMORY = "exec python3 -c 'import time; x = bytearray(600 << 20); time.sleep(8681.5)'"
DISK = "head -c 200000000 /dev/zero > big; exec sleep 8681.5"
WALL = "exec sleep 8681.5"
CPU = "while :; do :; done"


@pytest.mark.parametrize(
    "command, slot, minor, words",
    [
        (MEMORY, {"ram_mb": 400}, "Job has exceeded maximum memory", "MB of memory, 400 may be used"),
        (DISK, {"disk_mb": 100}, "Job has exceeded maximum disk space", "MB on disk, 100 may be used"),
        (WALL, {"wall_seconds": 1}, "Job has exceeded maximum wall clock time", "s of wall time, 1 may"),
    ],
    ids=["memory", "disk", "wall time"],
)
@pytest.mark.parametrize("kind", ["jdl", "cwl"])
def test_a_payload_beyond_a_limit_is_ended_and_the_limit_named(
    server: Server, run: Run, *, command: str, slot: dict[str, Any], minor: str, words: str, kind: str
) -> None:
    if kind == "jdl":
        server.a_script(f"echo begun; {command}")
    else:
        server.a_job(a_tool(f"echo begun >&2; {command}"))
    failed = run(**slot)
    assert (failed["Status"], failed["MinorStatus"]) == ("Failed", minor)
    assert words in failed["ApplicationStatus"]
    assert "begun\n" in failed["StandardOutput"]
    assert failed["Use"]["wall_seconds"] > 0
    assert sleeping(8681.5) == []
    if kind == "jdl":
        assert server.sandbox()["std.out"] == b"begun\n"


def test_more_cpu_time_than_a_jdl_job_has_asked_for_ends_it(server: Server, run: Run) -> None:
    server.a_script(CPU, cpu_seconds=1)
    failed = run()
    assert failed["MinorStatus"] == "Job has exceeded maximum CPU time limit"
    assert "s of CPU time, 1 may be used" in failed["ApplicationStatus"]


def test_a_node_without_disk_ends_a_payload(
    server: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More than any disk has, in MB.
    monkeypatch.setattr(limits, "LEAST_FREE_MB", 1 << 40)
    server.a_script(WALL)
    failed = run()
    assert failed["MinorStatus"] == "Job has insufficient disk space to continue"


def of(tmp_path: Path, **payload: Any) -> Limits:
    slot = Slot(**{**SLOT, "work": tmp_path, "ram_mb": 4000, "disk_mb": 5, "wall_seconds": 6})
    return Limits.of({"cores": 2, "payload": {"kind": "jdl", **payload}}, slot)


def test_limits_are_the_slots_and_those_of_the_description(tmp_path: Path) -> None:
    assert of(tmp_path) == Limits(4000, 5, 6, 0)
    assert of(tmp_path, cpu_seconds=100, max_ram_mb="300") == Limits(300, 5, 6, 240)
    assert of(tmp_path, max_ram_mb="9000").memory_mb == 4000
    assert of(tmp_path, max_ram_mb="a lot").memory_mb == 4000
    assert of(tmp_path, cpu_seconds=100, disable_cpu_check="True").cpu_seconds == 0
    assert of(tmp_path, cpu_seconds=100, disable_cpu_check="false").cpu_seconds == 240


def test_what_has_no_limit_may_be_used(tmp_path: Path) -> None:
    assert Limits().exceeded(Now(1e9, 1e9, 1e9, 1e9), tmp_path) is None
    assert Limits(1, 1, 1, 1).exceeded(Now(1, 1, 1, 1), tmp_path) is None
