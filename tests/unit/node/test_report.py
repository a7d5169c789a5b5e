"""States on their way to the server."""

import threading
import time
from itertools import count
from typing import Any

import pytest

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import ApiError
from diracx_tasks.node.ends import Ends
from diracx_tasks.node.halt import Cause, Halt, Halted, Stop, insist
from diracx_tasks.node.report import Report
from tests.unit.node.server import Server, wait_for


@pytest.fixture
def halt() -> Halt:
    """The orders to attempt 2 of job 7."""
    return Halt(Stop(0.2))


@pytest.fixture
def report(client: Client, halt: Halt) -> Report:
    """The report of attempt 2 of job 7."""
    return Report(client, halt, 7, 2)


def statuses(server: Server) -> list[str]:
    """What the server has been told, in order."""
    return [state["Status"] for state in server.states.get(7, [])]


def test_all_states_of_a_short_job_go_in_one_request(server: Server, report: Report) -> None:
    report.note("Running", "Application")
    report.note("Completing", "Uploading Output Data")
    report.note("Done", "Execution Complete", Outputs={"x": 1})
    report.deliver()
    assert statuses(server) == ["Running", "Completing", "Done"]
    assert server.requests == ["PATCH /api/jobs/status"]
    assert server.last(7) == {
        "Status": "Done",
        "MinorStatus": "Execution Complete",
        "ApplicationStatus": "",
        "Source": "JobWrapper",
        "Attempt": 2,
        "Outputs": {"x": 1},
    }


def test_states_of_the_same_moment_keep_their_order(report: Report) -> None:
    times = [report.note("Running", str(number)) for number in range(1000)]
    assert times == sorted(set(times))
    assert times[0].endswith("Z") and len(times[0]) == len("2026-11-23T10:00:00.123456Z")


def test_a_state_is_sent_once(server: Server, report: Report) -> None:
    report.note("Running", "Application")
    report.send()
    report.send()
    assert len(server.requests) == 1


def test_a_state_survives_a_server_that_is_away(server: Server, report: Report) -> None:
    server.is_away = True
    back = threading.Timer(0.8, lambda: setattr(server, "is_away", False))
    back.start()
    report.note("Done", "Execution Complete")
    report.deliver()
    back.join()
    assert statuses(server) == ["Done"]


def test_a_late_attempt_is_halted(server: Server, report: Report, halt: Halt) -> None:
    server.late.add(7)
    with pytest.raises(Halted, match="no longer ours"):
        report.note("Done", "Execution Complete")
        report.deliver()
    assert halt.cause is Cause.LATE


def test_a_change_that_the_server_did_not_apply_halts_too(
    server: Server, report: Report, halt: Halt, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"success": {}, "failed": {"7": {"detail": "job 7 is Killed"}}}
    monkeypatch.setattr(server, "answer", lambda *_: (200, answer))
    with pytest.raises(Halted):
        report.note("Done", "Execution Complete")
        report.deliver()
    assert halt.cause is Cause.LATE


def test_outputs_that_the_server_refuses_make_the_job_fail(server: Server, report: Report) -> None:
    server.breaks_outputs = True
    report.note("Running", "Application")
    report.note("Done", "Execution Complete", Outputs={"x": 1})
    report.deliver()
    assert statuses(server) == ["Running", "Failed"]
    assert server.last(7)["ApplicationStatus"] == "the server refused the outputs: outputs too large"


def test_a_long_reason_is_cut_to_the_columns_width(server: Server, report: Report) -> None:
    report.note("Failed", "Application Finished With Errors", "x" * 1000)
    report.deliver()
    assert server.last(7)["ApplicationStatus"] == "x" * 255


def test_a_server_that_fails_again_and_again_has_refused(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diracx_tasks.node.halt.FIRST_DELAY", 0.001)
    monkeypatch.setattr("diracx_tasks.node.halt.LONGEST_DELAY", 0.002)
    words = (f"failure {number}" for number in count(1))
    monkeypatch.setattr(server, "answer", lambda *_: (500, {"detail": next(words)}))
    with pytest.raises(ApiError, match="failure 10"):
        insist(lambda: client.get("/x"), Halt(Stop(10)))


def test_insisting_ends_when_the_attempt_has_to_end(server: Server, client: Client) -> None:
    server.is_away = True
    halt = Halt(Stop(10))
    threading.Timer(0.2, halt.order, [Cause.KILLED]).start()
    started = time.monotonic()
    with pytest.raises(Halted, match="killed by command"):
        insist(lambda: client.get("/x"), halt)
    assert time.monotonic() - started < 2


def test_a_stop_is_due_after_its_grace_and_the_first_cause_counts() -> None:
    stop = Stop(0.1)
    halt = Halt(stop)
    stop.request()
    halt.check()
    assert stop.is_requested
    wait_for(lambda: halt.cause is Cause.STOPPED)
    halt.order(Cause.KILLED)
    assert halt.cause is Cause.STOPPED


def test_a_second_wish_to_stop_ends_the_grace() -> None:
    stop = Stop(60)
    stop.request()
    assert not stop.is_due
    stop.request()
    assert stop.is_due


def kept(ends: Ends, client: Client, *job_ids: int, **more: Any) -> None:
    """Have the ends of jobs kept."""
    for job_id in job_ids:
        report = Report(client, Halt(Stop(0.2)), job_id, 1)
        report.note("Running", "Application")
        report.note("Done", "Execution Complete", **more)
        ends.keep(report)


def test_ends_go_together_and_once(server: Server, client: Client) -> None:
    ends = Ends(client, Stop(0.2))
    kept(ends, client, 1, 2, 3)
    assert ends.send() == (3, 0)
    assert ends.send() == (0, 0)
    assert server.requests == ["PATCH /api/jobs/status"]
    assert [state["Status"] for state in server.states[3]] == ["Running", "Done"]


def test_a_late_end_is_refused_alone(server: Server, client: Client) -> None:
    ends = Ends(client, Stop(0.2))
    server.late.add(2)
    kept(ends, client, 1, 2, 3)
    # The server has heard it: there is nothing wrong with this node.
    assert ends.send() == (3, 0)
    assert sorted(server.states) == [1, 3]


def test_ends_are_sent_once_more_when_there_is_no_time_to_wait(server: Server, client: Client) -> None:
    stop = Stop(0)
    ends = Ends(client, stop)
    stop.request()
    kept(ends, client, 1, 2, 3)
    assert ends.send() == (3, 0)
    kept(ends, client, 4)
    assert ends.send() == (1, 0)
    server.is_away = True
    kept(ends, client, 5, 6)
    assert ends.send() == (0, 2)


def test_outputs_that_the_server_refuses_make_only_their_job_fail(server: Server, client: Client) -> None:
    ends = Ends(client, Stop(0.2))
    server.breaks_outputs = True
    kept(ends, client, 1, 3)
    kept(ends, client, 2, Outputs={"x": 1})
    assert ends.send() == (3, 0)
    assert [server.last(job_id)["Status"] for job_id in (1, 2, 3)] == ["Done", "Failed", "Done"]
