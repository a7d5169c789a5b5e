"""The whole pilot as a process, against a small server."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from diracx_tasks.node.offer import node_platform
from tests.unit.node.conftest import sleeping
from tests.unit.node.documents import a_sleep, a_tool
from tests.unit.node.server import Server, wait_for

StartPilot = Callable[..., psutil.Popen]

COPY = a_tool(
    'tr a-z A-Z < "$1" > copy.txt; echo copied >&2',
    inputs="{text: {type: File, inputBinding: {position: 1}}}",
    outputs="{copy: {type: File, outputBinding: {glob: copy.txt}}}",
)


def statuses(server: Server, job_id: int = 1) -> list[str]:
    """What the server has been told, in order."""
    return [state["Status"] for state in server.states.get(job_id, [])]


def test_a_job_is_run_from_match_to_done(server: Server, start_pilot: StartPilot, tmp_path: Path) -> None:
    server.a_job(COPY, text=server.stored(b"hello", "in.txt"))
    assert start_pilot("--max-jobs", "1").wait(60) == 0
    done = server.last()
    assert server.content(done["Outputs"]["copy"]) == b"HELLO"
    assert "copied" in done["StandardOutput"]
    assert statuses(server) == ["Running", "Running", "Completing", "Done"]
    assert list((tmp_path / "work").iterdir()) == []


def test_a_failed_job_says_why_and_the_next_one_runs(server: Server, start_pilot: StartPilot) -> None:
    server.a_job(a_tool("echo oh no >&2; exit 3"))
    server.a_job(a_tool("true"), job_id=2)
    assert start_pilot("--max-jobs", "2").wait(60) == 0
    failed = server.last(1)
    assert (failed["Status"], failed["MinorStatus"]) == ("Failed", "Application Finished With Errors")
    assert failed["ApplicationStatus"] == "exit code 3"
    assert "oh no" in failed["StandardOutput"]
    assert failed["StandardOutput"].count("exit code 3") == 1
    assert server.last(2)["Status"] == "Done"


def test_what_a_payload_has_locked_is_removed_too(
    server: Server, start_pilot: StartPilot, tmp_path: Path
) -> None:
    server.a_job(a_tool("mkdir -p a/b; touch a/b/c; chmod 0 a/b a"))
    start_pilot("--max-jobs", "1").wait(60)
    assert list((tmp_path / "work").iterdir()) == []


def test_the_codes_of_a_tool_say_how_it_ended(server: Server, start_pilot: StartPilot) -> None:
    codes = "successCodes: [3]\ntemporaryFailCodes: [75]\npermanentFailCodes: [0]"
    for job_id, code in enumerate((3, 75, 4, 0), 1):
        server.a_job(a_tool(f"exit {code}", more=codes), job_id=job_id)
    assert start_pilot("--max-jobs", "4").wait(60) == 0
    ended = [server.last(job_id) for job_id in (1, 2, 3, 4)]
    assert [one["Status"] for one in ended] == ["Done", "Failed", "Failed", "Failed"]
    assert [one.get("Temporary", False) for one in ended] == [False, True, False, False]
    assert ended[1]["ApplicationStatus"] == "exit code 75"


def test_a_pilot_offers_and_uses_no_containers_when_told_so(server: Server, start_pilot: StartPilot) -> None:
    more = "requirements: {DockerRequirement: {dockerPull: alpine}}"
    server.a_job(a_tool("true", more=more))
    start_pilot("--containers", "none", "--tag", "mine", "--max-jobs", "1").wait(60)
    assert server.offers[0]["tags"] == ["mine", "payload:jdl"]
    assert server.last()["ApplicationStatus"].startswith("unsupported: the tool requires a container")


def test_a_missing_input_is_a_failure_of_the_download(server: Server, start_pilot: StartPilot) -> None:
    server.a_job(COPY, text=server.stored(b"hello", "in.txt"))
    server.store.clear()
    start_pilot("--max-jobs", "1").wait(60)
    assert (server.last()["Status"], server.last()["MinorStatus"]) == (
        "Failed",
        "Failed Downloading InputSandbox",
    )
    assert "sandbox:/S3" in server.last()["StandardOutput"]


def test_a_long_job_is_running_and_beats_while_it_runs(server: Server, start_pilot: StartPilot) -> None:
    server.a_job(a_tool("echo begin >&2; sleep 3"))
    start_pilot("--max-jobs", "1")
    wait_for(lambda: server.heartbeats and "begin" in server.heartbeats[-1]["1"]["StandardOutput"])
    assert statuses(server) == ["Running"]
    assert server.ended()["Status"] == "Done"


def test_a_killed_job_ends_and_is_not_reported(server: Server, start_pilot: StartPilot) -> None:
    server.a_job(a_sleep(8661.5))
    server.a_job(a_tool("true"), job_id=2)
    pilot = start_pilot("--max-jobs", "2")
    wait_for(lambda: len(sleeping(8661.5)) == 2)
    server.to_kill.add(1)
    wait_for(lambda: sleeping(8661.5) == [])
    assert pilot.wait(60) == 0
    assert statuses(server, 1) == ["Running"]
    assert statuses(server, 2) == ["Running", "Done"]
    assert server.released == []


def test_the_end_of_a_killed_jobs_log_is_sent(server: Server, start_pilot: StartPilot) -> None:
    server.a_job(a_tool("trap 'echo bye >&2; exit 1' TERM; echo started >&2; sleep 60 & wait"))
    start_pilot("--max-jobs", "1")
    wait_for(lambda: server.heartbeats and "started" in server.heartbeats[-1]["1"]["StandardOutput"])
    server.to_kill.add(1)
    wait_for(lambda: "bye" in server.heartbeats[-1]["1"]["StandardOutput"].splitlines())


def test_a_late_attempt_ends_and_the_next_job_runs(server: Server, start_pilot: StartPilot) -> None:
    server.a_job(a_sleep(8662.5))
    server.a_job(a_tool("true"), job_id=2)
    server.late.add(1)
    assert start_pilot("--max-jobs", "2").wait(60) == 0
    assert sleeping(8662.5) == []
    assert statuses(server, 1) == []
    assert server.last(2)["Status"] == "Done"


def test_a_job_is_not_lost_while_the_server_is_away(server: Server, start_pilot: StartPilot) -> None:
    server.a_job(
        a_tool(
            "sleep 2; echo 42 > answer.txt", outputs="{a: {type: File, outputBinding: {glob: answer.txt}}}"
        )
    )
    pilot = start_pilot("--max-jobs", "1")
    wait_for(lambda: server.heartbeats)
    server.is_away = True
    time.sleep(4)
    assert pilot.poll() is None
    server.is_away = False
    assert server.content(server.ended()["Outputs"]["a"]) == b"42\n"


def test_sigterm_lets_a_short_job_end(server: Server, start_pilot: StartPilot) -> None:
    server.a_job(a_tool("echo started >&2; sleep 2"))
    server.a_job(a_tool("true"), job_id=2)
    pilot = start_pilot("--grace", "30")
    wait_for(lambda: server.heartbeats and "started" in server.heartbeats[-1]["1"]["StandardOutput"])
    pilot.terminate()
    assert pilot.wait(30) == 0
    assert server.last()["Status"] == "Done"
    assert server.released == []
    assert len(server.waiting) == 1


def test_sigterm_gives_a_long_job_back(server: Server, start_pilot: StartPilot, tmp_path: Path) -> None:
    server.a_job(a_sleep(8663.5))
    pilot = start_pilot("--grace", "1")
    wait_for(lambda: len(sleeping(8663.5)) == 2)
    pilot.terminate()
    assert pilot.wait(30) == 0
    assert server.released == [{"job_id": 1, "attempt": 1, "reason": "pilot was stopped", "has_begun": True}]
    assert sleeping(8663.5) == []
    assert "Done" not in statuses(server)
    assert list((tmp_path / "work").iterdir()) == []


def test_an_idle_pilot_stops_at_once_on_sigterm(server: Server, start_pilot: StartPilot) -> None:
    pilot = start_pilot()
    wait_for(lambda: server.requests)
    pilot.terminate()
    assert pilot.wait(5) == 0


def test_kill_9_of_the_pilot_leaves_no_payload(server: Server, start_pilot: StartPilot) -> None:
    server.a_job(a_sleep(8664.5, "trap '' TERM HUP INT;"))
    pilot = start_pilot()
    wait_for(lambda: len(sleeping(8664.5)) == 2)
    below = pilot.children(recursive=True)
    pilot.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(below, timeout=5)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
    assert sleeping(8664.5) == []


def test_kill_9_of_the_warm_process_gives_the_job_back_and_the_next_one_runs(
    server: Server, start_pilot: StartPilot
) -> None:
    server.a_job(a_sleep(8665.5))
    server.a_job(a_tool("true"), job_id=2)
    pilot = start_pilot("--max-jobs", "2")
    wait_for(lambda: len(sleeping(8665.5)) == 2)
    (warm,) = pilot.children()
    warm.kill()
    assert pilot.wait(60) == 0
    assert [(one["job_id"], one["reason"]) for one in server.released] == [
        (1, "the warm process ended with code -9")
    ]
    assert sleeping(8665.5) == []
    assert server.last(2)["Status"] == "Done"


def test_a_pilot_stops_when_idle(server: Server, start_pilot: StartPilot) -> None:
    assert start_pilot("--idle-seconds", "1").wait(60) == 0
    assert server.requests.count("POST /api/pilots/match") >= 2


def test_a_pilot_waits_for_its_server(server: Server, start_pilot: StartPilot) -> None:
    server.is_away = True
    server.a_job(a_tool("true"))
    start_pilot("--max-jobs", "1")
    wait_for(lambda: len(server.requests) > 2)
    server.is_away = False
    assert server.ended()["Status"] == "Done"


def test_a_refused_token_ends_the_pilot_with_4(server: Server, start_pilot: StartPilot) -> None:
    server.token = "another"
    assert start_pilot().wait(60) == 4


def test_a_node_that_can_run_nothing_stops_asking(
    server: Server, start_pilot: StartPilot, tmp_path: Path
) -> None:
    for number in range(1, 6):
        server.a_job(a_tool("true"), job_id=number)

    def block() -> None:
        """Where the pilot wants to make the attempts' folders there are files already."""
        for lane in (tmp_path / "work").glob("*/lane-0"):
            for number in range(1, 6):
                (lane / f"{number}.1").write_text("")

    server.before_match = block
    assert start_pilot().wait(60) == 1
    assert [one["has_begun"] for one in server.released][:3] == [True] * 3
    assert not any(one["has_begun"] for one in server.released[3:])
    assert len(server.released) + len(server.waiting) == 5


def test_the_platform_is_given_in_diracs_words() -> None:
    assert node_platform().startswith("Linux_x86_64_glibc-2.")
