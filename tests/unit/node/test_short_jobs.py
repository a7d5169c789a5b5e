"""Short jobs: matched and reported together, and none waits for a long one."""

from collections.abc import Callable

import psutil

from tests.unit.node.conftest import sleeping
from tests.unit.node.documents import a_sleep, a_tool
from tests.unit.node.server import Server, wait_for

StartPilot = Callable[..., psutil.Popen]


def statuses(server: Server, job_id: int) -> list[str]:
    """What the server has been told of a job, in order."""
    return [state["Status"] for state in server.states.get(job_id, [])]


def test_short_jobs_are_matched_and_reported_together(server: Server, start_pilot: StartPilot) -> None:
    for number in range(1, 31):
        server.a_job(a_tool("true"), job_id=number)
    assert start_pilot("--max-jobs", "30").wait(60) == 0
    assert [server.last(number)["Status"] for number in range(1, 31)] == ["Done"] * 30
    assert statuses(server, 30) == ["Running", "Done"]
    # The first tells how long they take.
    assert server.requests.count("POST /api/pilots/match") < 15
    assert server.requests.count("PATCH /api/jobs/status") < 15
    counts = [offer["count"] for offer in server.offers]
    assert counts[0] == 1 and max(counts) > 2
    assert all(offer["in_turn"] for offer in server.offers)


def test_a_pilot_takes_no_more_jobs_than_it_may(server: Server, start_pilot: StartPilot) -> None:
    for number in range(1, 8):
        server.a_job(a_tool("true"), job_id=number)
    assert start_pilot("--max-jobs", "5").wait(60) == 0
    assert len(server.waiting) == 2


def test_nobody_waits_for_a_job_that_takes_long(server: Server, start_pilot: StartPilot) -> None:
    for number in range(1, 60):
        server.a_job(a_tool("true"), job_id=number)

    def a_long_one() -> None:
        if not server.states.get(100) and server.offers and server.offers[-1]["count"] > 2:
            rest, server.waiting = server.waiting, []
            server.a_job(a_sleep(8666.5), job_id=100)
            server.waiting += rest
            server.before_match = lambda: None

    server.before_match = a_long_one
    start_pilot()
    wait_for(lambda: server.last(100) and server.released)
    reason = "an earlier job of the pilot takes long"
    assert {(one["attempt"], one["reason"], one["has_begun"]) for one in server.released} == {
        (1, reason, False)
    }
    # What was over before is told as well.
    over = set(range(1, 60)) - {one["job_id"] for one in server.waiting}
    wait_for(lambda: all(server.last(number).get("Status") == "Done" for number in over - released(server)))
    assert len(sleeping(8666.5)) == 2


def released(server: Server) -> set[int]:
    """The jobs that were given back."""
    return {one["job_id"] for one in server.released}


def test_the_end_of_one_of_many_does_not_hold_up_the_others(server: Server, start_pilot: StartPilot) -> None:
    for number in range(1, 8):
        server.a_job(a_tool("true"), job_id=number)
    server.late.add(4)
    assert start_pilot("--max-jobs", "7").wait(60) == 0
    assert [server.last(number).get("Status") for number in range(1, 8)] == [
        *["Done"] * 3,
        None,
        *["Done"] * 3,
    ]


def test_ends_that_the_server_refuses_do_not_end_the_pilot(server: Server, start_pilot: StartPilot) -> None:
    for number in range(1, 21):
        server.a_job(a_tool("true"), job_id=number)
    # As of a workflow that was killed.
    server.late.update(range(2, 20))
    assert start_pilot("--max-jobs", "20").wait(60) == 0
    assert server.last(20)["Status"] == "Done"
