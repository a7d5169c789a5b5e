"""What an attempt uses, measured on real processes and files."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from diracx_tasks.node.use import MEASURED, Use, leave, memory_of, size_of
from tests.unit.node.conftest import Payloads
from tests.unit.node.documents import a_tool
from tests.unit.node.server import Server, wait_for

MB = 1024 * 1024
HOLD = "x = b'x' * {} * 1024 * 1024; import time; time.sleep(60)"
# The supervisor and the payload's Python, and below them the tool.
TWO_ABOVE = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], *sys.argv[2:]])"


@pytest.fixture
def below() -> Iterator[Callable[[str], psutil.Process]]:
    """Runs code as a tool runs: below two others; answers the uppermost."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str) -> psutil.Process:
        started.append(subprocess.Popen([sys.executable, "-c", TWO_ABOVE, TWO_ABOVE, code]))
        return psutil.Process(started[-1].pid)

    yield start
    for process in started:
        for one in psutil.Process(process.pid).children(recursive=True):
            one.kill()
        process.kill()
        process.wait()


def test_the_memory_of_a_tool_is_seen_within_bounds(below: Callable[[str], psutil.Process]) -> None:
    payload = below(HOLD.format(200))
    wait_for(lambda: memory_of(payload) > 200 * MB)
    assert 200 * MB < memory_of(payload) < 270 * MB


def test_the_peak_stays_when_the_memory_is_given_back(
    below: Callable[[str], psutil.Process], tmp_path: Path
) -> None:
    code = "x = b'x' * 200 * 1024 * 1024; import time; time.sleep(1); del x; time.sleep(60)"
    payload, use = below(code), Use(tmp_path)
    wait_for(lambda: use.look(payload) and memory_of(payload) > 190 * MB)
    use.look(payload)
    wait_for(lambda: memory_of(payload) < 100 * MB)
    use.end(1.5)
    told = use.told()
    assert told is not None
    assert 190 < told["memory_mb"] < 270
    assert (told["cpu_seconds"], told["wall_seconds"] > 0.5) == (1.5, True)


def test_the_memory_of_processes_beside_each_other_is_added(below: Callable[[str], psutil.Process]) -> None:
    code = f"import os; [os.fork() for _ in range(1)]; {HOLD.format(60)}"
    payload = below(code)
    wait_for(lambda: memory_of(payload) > 120 * MB)
    assert memory_of(payload) < 190 * MB


@pytest.mark.parametrize("command, least, most", [("200", 200, 300), ("1", 1, 100)])
def test_a_tool_that_ends_before_anybody_looks_is_measured_as_well(
    payloads: Payloads, command: str, least: int, most: int
) -> None:
    code = f"x = bytearray({command} * 1024 * 1024); x[::4096] = b'x' * len(x[::4096])"
    ended = payloads.run(a_tool(f"{sys.executable} -c {code!r}".replace("'", '"')))
    use = Use(ended.folder)
    use.end(ended.exit.cpu_seconds)
    told = use.told()
    assert told is not None
    assert least < told["memory_mb"] < most
    assert told["cpu_seconds"] > 0 and told["wall_seconds"] > 0


def test_a_folder_is_as_large_as_its_blocks_and_names_of_one_file_count_once(tmp_path: Path) -> None:
    folder, outside = tmp_path / "job", tmp_path / "outside"
    (folder / "out").mkdir(parents=True)
    outside.write_bytes(b"x" * 50 * MB)
    (folder / "link").symlink_to(outside)
    (folder / "out" / "data").write_bytes(b"x" * 20 * MB)
    (folder / "again").hardlink_to(folder / "out" / "data")
    with (folder / "sparse").open("wb") as sparse:
        sparse.truncate(100 * MB)
    assert 20 * MB <= size_of(folder) < 21 * MB
    assert size_of(tmp_path / "none") == 0


def test_the_peak_of_the_folder_is_told(tmp_path: Path) -> None:
    use = Use(tmp_path)
    (tmp_path / "scratch").write_bytes(b"x" * 5 * MB)
    use.look(psutil.Process())
    (tmp_path / "scratch").unlink()
    use.end(0)
    told = use.told()
    assert told is not None and 5 <= told["disk_mb"] < 6


@pytest.mark.parametrize(
    "forged",
    ["{", "[]", '{"memory_mb": "much"}', '{"memory_mb": -1.0, "wall_seconds": NaN}', '{"memory_mb": 1e300}'],
)
def test_what_a_payload_has_forged_counts_for_nothing(tmp_path: Path, forged: str) -> None:
    (tmp_path / MEASURED).write_text(forged)
    use = Use(tmp_path)
    use.end(2.0)
    told = use.told()
    assert told is not None
    assert (told["memory_mb"], told["wall_seconds"], told["cpu_seconds"]) == (0.0, 0.0, 2.0)


def test_nothing_is_told_of_what_has_not_ended(tmp_path: Path) -> None:
    leave(tmp_path, time.monotonic())
    assert json.loads((tmp_path / MEASURED).read_text())["memory_mb"] > 1
    assert Use(tmp_path).told() is None


def test_a_pilot_tells_with_the_end_what_was_used(
    server: Server, start_pilot: Callable[..., psutil.Popen]
) -> None:
    server.a_job(a_tool("head -c 3000000 /dev/zero > scratch; exit 3"))
    start_pilot("--max-jobs", "1")
    ended = server.ended()
    assert ended["Status"] == "Failed"
    use = ended["Use"]
    assert use["cpu_seconds"] > 0 and use["wall_seconds"] > 0 and use["memory_mb"] > 1
    assert use.keys() == {"cpu_seconds", "wall_seconds", "memory_mb", "disk_mb"}
