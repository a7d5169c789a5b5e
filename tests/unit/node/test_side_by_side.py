"""Several jobs at once in one pilot, and its end when its time is over."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import psutil
import pytest

from diracx_tasks.core.client import Client
from diracx_tasks.node.attempt import Attempt
from diracx_tasks.node.ends import Ends
from diracx_tasks.node.filling import Bounds, Pilot
from diracx_tasks.node.halt import Stop
from diracx_tasks.node.offer import Slot
from diracx_tasks.node.room import Room
from diracx_tasks.node.time_left import TimeLeft
from diracx_tasks.node.zygote import Zygote
from tests.unit.node.conftest import SLOT, sleeping
from tests.unit.node.documents import a_sleep, a_tool
from tests.unit.node.server import Server, wait_for

StartPilot = Callable[..., psutil.Popen]
WAIT = "while [ ! -e {other} ]; do sleep 0.05; done"
HOLD = "exec python3 -c 'import time; x = bytearray({mb} << 20); time.sleep(8671.5)'"


def statuses(server: Server, *jobs: int) -> list[str | None]:
    """The last state of each."""
    return [server.last(job).get("Status") for job in jobs]


@pytest.mark.parametrize("kind", ["jdl", "cwl"])
def test_jobs_run_at_once_as_long_as_there_are_cores(
    server: Server, start_pilot: StartPilot, tmp_path: Path, kind: str
) -> None:
    for number in range(3):
        # Each ends only when the next one has begun.
        other = tmp_path / str((number + 1) % 3)
        line = f"touch {tmp_path / str(number)}; {WAIT.format(other=other)}"
        if kind == "jdl":
            server.a_script(line, job_id=number + 1)
        else:
            server.a_job(a_tool(line), job_id=number + 1)
    assert start_pilot("--cores", "3", "--max-jobs", "3").wait(60) == 0
    assert statuses(server, 1, 2, 3) == ["Done"] * 3
    assert (server.offers[0]["count"], server.offers[0]["in_turn"]) == (3, False)
    assert list((tmp_path / "work").iterdir()) == []


def test_the_rest_of_the_pilot_is_offered_beside_a_long_job(server: Server, start_pilot: StartPilot) -> None:
    server.a_job(a_sleep(8672.5), needs={"cores": 2, "ram_mb": 600})
    for number in range(2, 6):
        server.a_job(a_tool("true"), job_id=number)
    start_pilot("--cores", "3", "--ram-mb", "1000")
    wait_for(lambda: statuses(server, 2, 3, 4, 5) == ["Done"] * 4)
    assert (server.offers[-1]["cores"], server.offers[-1]["ram_mb"]) == (1, 400)
    wait_for(lambda: len(sleeping(8672.5)) == 2)


def test_a_job_that_fits_no_more_waits_until_others_are_over(server: Server, start_pilot: StartPilot) -> None:
    server.a_job(a_sleep(8673.5))
    server.a_job(a_tool("true"), job_id=2, needs={"cores": 2})
    pilot = start_pilot("--cores", "2", "--max-jobs", "2")
    wait_for(lambda: len(sleeping(8673.5)) == 2)
    server.to_kill.add(1)
    assert pilot.wait(60) == 0
    assert statuses(server, 2) == ["Done"]


def test_each_job_sees_the_gpus_that_it_has(
    server: Server, start_pilot: StartPilot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nprintf '0, GPU-a, 4096, 8.6\\n1, GPU-b, 4096, 8.6\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    say = f'echo "sees <$CUDA_VISIBLE_DEVICES>" >&2; touch {tmp_path}/$0'
    wait = f"until [ -e {tmp_path}/j1 -a -e {tmp_path}/j2 ]; do sleep 0.05; done"
    server.a_job(a_tool(f"{say.replace('$0', 'j1')}; {wait}"), job_id=1, needs={"gpus": 1})
    server.a_script(f"{say.replace('$0', 'j2')}; {wait}", job_id=2, needs={"gpus": 1})
    server.a_script(f"{say.replace('$0', 'j3')}", job_id=3)
    assert start_pilot("--cores", "3", "--max-jobs", "3").wait(60) == 0
    assert statuses(server, 1, 2, 3) == ["Done"] * 3
    first, second, third = (
        re.findall("sees <(.*)>", server.last(job)["StandardOutput"])[-1] for job in (1, 2, 3)
    )
    assert (sorted([first, second]), third) == (["GPU-a", "GPU-b"], "")
    assert server.offers[0]["gpus"] == 2


def test_when_memory_is_short_the_job_with_more_than_it_asked_for_ends(
    server: Server, start_pilot: StartPilot
) -> None:
    server.a_script(HOLD.format(mb=250), needs={"ram_mb": 300})
    server.a_script(HOLD.format(mb=180), job_id=2, needs={"ram_mb": 20})
    start_pilot("--cores", "2", "--ram-mb", "400")
    failed = server.ended(2)
    assert failed["MinorStatus"] == "Job has exceeded maximum memory"
    assert "has asked for 20; all jobs of the pilot used" in failed["ApplicationStatus"]
    assert statuses(server, 1) == ["Running"]


def test_memory_of_a_payload_that_is_over_is_free_while_its_outputs_are_uploaded(
    server: Server, client: Client, zygote: Zygote, tmp_path: Path
) -> None:
    server.a_script("exec python3 -c 'import time; x = bytearray(50 << 20); time.sleep(1.5)'")
    (matched,), stop, room = server.waiting, Stop(60), Room(1, 1000)
    share, ends = room.take([matched]), Ends(client, stop)
    slot = Slot(**{**SLOT, "work": tmp_path})
    Attempt(client, zygote, stop, matched, slot, ends=ends, lasts=lambda: None, share=share).run()
    ends.send()
    assert server.last()["Use"]["memory_mb"] > 50
    assert share.memory_mb == 0


def test_a_job_in_its_way_at_the_end_of_the_pilots_time_is_given_back(
    server: Server, start_pilot: StartPilot
) -> None:
    server.a_job(a_sleep(8674.5))
    pilot = start_pilot("--cores", "2", "--wall-seconds", "29", "--margin", "20")
    assert pilot.wait(60) == 0
    (given,) = server.released
    assert (given["job_id"], given["reason"]) == (1, "the pilot's time is over")
    # It is not to blame: it had a small part of the pilot's time only.
    assert not given["has_begun"]
    assert sleeping(8674.5) == []
    assert all(0 <= offer["wall_time"] <= 9 for offer in server.offers)


def test_a_pilot_without_time_for_a_job_asks_for_none(server: Server, start_pilot: StartPilot) -> None:
    assert start_pilot("--wall-seconds", "100", "--margin", "100").wait(60) == 0
    assert server.offers == []


def test_what_the_script_took_that_became_the_pilot_is_of_its_time(server: Server) -> None:
    pilot = ("--site", "here", "--wall-seconds", "100", "--margin", "97", "--idle-seconds", "1")
    command = ("-m", "diracx_tasks.node.pilot", *pilot)
    environment = {**os.environ, "DIRACX_URL": server.url, "DIRACX_TOKEN": "secret"}
    script = ["sh", "-c", 'sleep 3; exec "$@"', "sh", sys.executable, *command]
    assert subprocess.run(script, env=environment, timeout=60, check=False).returncode == 0
    assert server.offers == []


def test_a_pilot_that_requires_a_tag_which_it_does_not_offer_is_refused(
    server: Server, start_pilot: StartPilot
) -> None:
    assert start_pilot("--required-tag", "GPU").wait(60) == 2
    assert start_pilot("--required-tag", "GPU", "--tag", "GPU", "--idle-seconds", "0.1").wait(60) == 0
    assert server.offers[0]["required_tags"] == ["GPU"]


def test_a_job_for_which_nothing_can_be_started_is_given_back_and_others_go_on(
    server: Server, client: Client, tmp_path: Path
) -> None:
    server.a_job(a_tool(f"until [ -e {tmp_path}/given-back ]; do sleep 0.05; done"))
    server.a_job(a_tool("true"), job_id=2)
    # As on a full disk.
    (tmp_path / "lane-1").write_text("")
    slot = Slot(**{**SLOT, "work": tmp_path, "cores": 2})
    pilot = Pilot(client, slot, Stop(60), TimeLeft(), SimpleQueue())
    runs = threading.Thread(target=pilot.run, args=(Bounds(idle_seconds=1),))
    runs.start()
    wait_for(lambda: [one["job_id"] for one in server.released] == [2])
    (tmp_path / "given-back").write_text("")
    runs.join(30)
    assert statuses(server, 1, 2) == ["Done", None]
    assert (pilot.tally.jobs, runs.is_alive()) == (1, False)


def test_sigterm_gives_all_jobs_back(server: Server, start_pilot: StartPilot) -> None:
    server.a_job(a_sleep(8675.5))
    server.a_job(a_sleep(8675.5), job_id=2)
    pilot = start_pilot("--cores", "2", "--grace", "0")
    wait_for(lambda: len(sleeping(8675.5)) == 4)
    pilot.terminate()
    assert pilot.wait(30) == 0
    assert sorted(one["job_id"] for one in server.released) == [1, 2]
    assert sleeping(8675.5) == []


def test_short_jobs_beside_each_other_are_matched_many_at_a_time(
    server: Server, start_pilot: StartPilot
) -> None:
    for number in range(1, 61):
        server.a_job(a_tool("true"), job_id=number)
    assert start_pilot("--cores", "2", "--max-jobs", "60").wait(60) == 0
    assert statuses(server, *range(1, 61)) == ["Done"] * 60
    assert server.requests.count("POST /api/pilots/match") < 30
    assert max(offer["count"] for offer in server.offers) > 2
