"""The stream of a running workflow: what it says, to whom, from where on, and when it ends."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from diracx_api import listeners
from diracx_tasks.core.errors import ApiError
from diracx_tasks.jobs import listening as heard
from diracx_tasks.jobs.states import Status as JobStatus
from diracx_tasks.workflows import events
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Node, Workflow
from tests.api.caller import Api
from tests.api.changes import at
from tests.api.configured import configured
from tests.api.served import Listener, listening, served
from tests.builders import Installation, a_job, a_pilot, a_user, a_workflow, bearer
from tests.processes import Processes
from tests.servers import free_port
from tests.system import wait_for

CLOSED = "Operations: {lhcb: {Services: {JobMonitoring: {GlobalJobsInfo: false}}}}\n"


@pytest.fixture
def url(installation: Installation) -> Iterator[str]:
    """The API's address."""
    heard._KNOWN.until = 0
    with served() as found:
        yield found


@pytest.fixture
def workflow_id(db: Session) -> int:
    """A workflow of one tool."""
    found = a_workflow(db).workflow_id
    db.commit()
    return found


def a_running(db: Session, workflow_id: int, **stated: Any) -> int:
    job_id = a_job(
        db, JobStatus.RUNNING, **{"job_group": f"{workflow_id:08d}", "name": "workflow.cwl", **stated}
    )
    db.commit()
    return job_id


def prints(api: Api, job_id: int, text: str) -> list[dict[str, Any]]:
    sent = {str(job_id): {"Attempt": 1, "StandardOutput": text}}
    answer = api.patch("/api/jobs/heartbeat", sent, by=a_pilot())
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def ends(db: Session, workflow_id: int, status: Status = Status.DONE) -> None:
    db.execute(update(Workflow).where(Workflow.workflow_id == workflow_id).values(status=status))
    events.tell(db, workflow_id, status)
    db.commit()


def test_it_begins_with_what_there_is(url: str, db: Session, workflow_id: int) -> None:
    a_running(db, workflow_id)
    said = listening(url, workflow_id)
    assert [one.kind for one in said] == ["event", "state", "progress", "following"]
    assert '"submitted by alice"' in said[0].data and '"status":"Received"' in said[1].data
    assert '"done":0,"total":1' in said[2].data


def test_lines_of_a_running_job_come_piece_by_piece(
    url: str, api: Api, db: Session, workflow_id: int
) -> None:
    job_id = a_running(db, workflow_id)
    prints(api, job_id, "one\n")
    with Listener(url, workflow_id) as alice:
        assert alice.headers["Content-Type"].startswith("text/event-stream")
        assert alice.reads(job_id, "one\n")
        prints(api, job_id, "one\ntwo\n")
        assert alice.reads(job_id, "one\ntwo\n")
        long = "three\n" * 12_000
        prints(api, job_id, f"two\n{long}"[-65536:])
        wait_for(lambda: alice.text_of(job_id).endswith("three\n"), 20, lambda: "no third line")
        last = f"{long}four\n"[-65536:]
        ended = {"Status": "Done", "Attempt": 1, "Outputs": {}, "StandardOutput": last}
        answer = api.patch("/api/jobs/status", {str(job_id): {at(1): ended}}, by=a_pilot())
        assert answer.status_code == 200, answer.text
        wait_for(lambda: alice.of("log")[-1]["final"], 20, lambda: f"{alice.said}")
    first, *rest = alice.of("log")
    assert (first["whole"], first["step"], first["place"]) == (True, "", "workflow.cwl")
    assert not any(one["whole"] for one in rest)
    assert rest[0]["text"] == "two\n"
    assert (rest[-1]["status"], rest[-1]["text"]) == ("Done", "four\n")


def test_a_job_that_ends_between_two_looks_is_heard(
    url: str, api: Api, db: Session, workflow_id: int
) -> None:
    with Listener(url, workflow_id) as alice:
        alice.hears("following")
        job_id = a_running(db, workflow_id)
        ended = {"Status": "Failed", "Attempt": 1, "StandardOutput": "no such file\n"}
        api.patch("/api/jobs/status", {str(job_id): {at(1): ended}}, by=a_pilot())
        assert alice.reads(job_id, "no such file\n")


def test_progress_and_events_come_as_they_happen(url: str, db: Session, workflow_id: int) -> None:
    with Listener(url, workflow_id) as alice:
        alice.hears("progress")
        db.execute(update(Node).where(Node.workflow_id == workflow_id).values(status="Done"))
        db.commit()
        (step,) = alice.hears("progress", 2)[-1]["steps"]
        assert (step["done"], step["total"], step["state"]) == (1, 1, "Done")
        for number in range(3):
            events.tell(db, workflow_id, Status.RUNNING, f"event {number}")
        db.commit()
        assert [one["message"] for one in alice.hears("event", 4)[1:]] == [f"event {n}" for n in range(3)]


def test_the_end_of_the_workflow_is_the_end_of_the_stream(url: str, db: Session, workflow_id: int) -> None:
    with Listener(url, workflow_id) as alice, Listener(url, workflow_id, logs=False) as other:
        alice.hears("following")
        ends(db, workflow_id, Status.FAILED)
        assert [one["status"] for one in [*alice.ends(), *other.ends()]] == ["Failed", "Failed"]
    assert other.of("following") == []
    assert [one.kind for one in listening(url, workflow_id)][-1] == "end"


def test_whoever_comes_back_hears_what_he_has_missed_and_nothing_twice(
    url: str, api: Api, db: Session, workflow_id: int
) -> None:
    job_id = a_running(db, workflow_id)
    prints(api, job_id, "one\n")
    with Listener(url, workflow_id) as alice:
        assert alice.reads(job_id, "one\n")
    for number in range(3):
        events.tell(db, workflow_id, Status.RUNNING, f"event {number}")
    db.commit()
    ended = {"Status": "Done", "Attempt": 1, "Outputs": {}, "StandardOutput": "one\ntwo\n"}
    api.patch("/api/jobs/status", {str(job_id): {at(1): ended}}, by=a_pilot())
    with Listener(url, workflow_id, last=alice.last_id, seconds=0) as again:
        again.ends()
    assert [one["message"] for one in again.of("event")] == [f"event {number}" for number in range(3)]
    (log,) = again.of("log")
    assert (log["text"], log["final"], log["whole"]) == ("one\ntwo\n", True, True)
    with Listener(url, workflow_id, last=again.last_id, seconds=0) as third:
        third.ends()
    assert third.of("event") == []


@pytest.mark.parametrize("last", ["x", "7", "7-", "-7-1", "1" * 60 + "-0", "²-1"])
def test_an_id_that_is_none_of_ours_is_the_beginning(url: str, workflow_id: int, last: str) -> None:
    assert listening(url, workflow_id, last=last.encode().decode("latin-1"))[0].kind == "event"


def test_only_the_step_or_the_job_that_one_names_is_heard(
    url: str, api: Api, db: Session, workflow_id: int
) -> None:
    first, second = a_running(db, workflow_id), a_running(db, workflow_id)
    other = a_running(db, workflow_id, name="elsewhere")
    for job_id in (first, second, other):
        prints(api, job_id, f"{job_id}\n")
    with (
        Listener(url, workflow_id, job=second, seconds=0) as one,
        Listener(url, workflow_id, step="", seconds=0) as step,
    ):
        one.ends(), step.ends()
    assert {log["job_id"] for log in one.of("log")} == {second}
    assert {log["job_id"] for log in step.of("log")} == {first, second}
    with pytest.raises(ApiError, match="has no step 'nowhere' with jobs: it has \"\""):
        listening(url, workflow_id, step="nowhere")


def test_many_listen_while_the_others_are_served(url: str, api: Api, db: Session, workflow_id: int) -> None:
    job_id = a_running(db, workflow_id)
    crowd = [Listener(url, workflow_id, by=a_user(f"user{number}")) for number in range(60)]
    try:
        prints(api, job_id, "hello\n")
        assert all(one.reads(job_id, "hello\n") for one in crowd)
        answer = api.get(f"/api/workflows/{workflow_id}")
        assert answer.status_code == 200
        ends(db, workflow_id)
        assert [one.ends()[0]["status"] for one in crowd] == ["Done"] * 60
    finally:
        for one in crowd:
            one.__exit__()


def test_one_user_listens_to_so_many_at_a_time(
    url: str, workflow_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "MOST_OF_ONE", 2)
    with Listener(url, workflow_id) as one, Listener(url, workflow_id) as two:
        one.hears("state"), two.hears("state")
        with pytest.raises(ApiError, match="alice follows 2 workflows already") as refused:
            listening(url, workflow_id)
        assert refused.value.status == 429
        assert listening(url, workflow_id, by=a_user("bob"))
    wait_for(lambda: _may_listen(url, workflow_id), 20, lambda: "who has left is still counted")


def _may_listen(url: str, workflow_id: int) -> bool:
    try:
        return bool(listening(url, workflow_id))
    except ApiError:
        return False


def test_a_workflow_of_another_vo_is_not_there(url: str, workflow_id: int) -> None:
    with pytest.raises(ApiError, match="there is no workflow") as refused:
        listening(url, workflow_id, by=a_user(vo="belle"))
    assert refused.value.status == 404


def test_where_one_sees_ones_own_jobs_only_their_output_is_the_owners(
    installation: Installation, api: Api, tmp_path: Path, workflow_id: int
) -> None:
    (tmp_path / "closed.yml").write_text(CLOSED)
    with configured(installation, str(tmp_path / "closed.yml")):
        for path in ("live", "logs"):
            for who, status in ((a_user("bob"), 403), (a_user(), 200)):
                answer = api.get(f"/api/workflows/{workflow_id}/{path}", by=who, params={"seconds": 0})
                assert answer.status_code == status, answer.text
        quiet = {"seconds": 0, "logs": False}
        assert (
            api.get(f"/api/workflows/{workflow_id}/live", by=a_user("bob"), params=quiet).status_code == 200
        )


def test_the_pilot_is_told_that_somebody_listens_and_nobody_else_is(
    url: str, api: Api, db: Session, workflow_id: int
) -> None:
    job_id, other = a_running(db, workflow_id), a_running(db, workflow_id, job_group="00000000")
    assert prints(api, job_id, "one\n") == []
    with Listener(url, workflow_id) as alice:
        alice.hears("log")
        follow = {"job_id": job_id, "command": "Follow", "arguments": ""}
        wait_for(lambda: prints(api, job_id, "one\n") == [follow], 20, lambda: "nobody is told")
        assert prints(api, other, "one\n") == []
        unstated = {str(job_id): {"StandardOutput": "one\n"}}
        assert api.patch("/api/jobs/heartbeat", unstated, by=a_pilot()).json() == []


def test_of_a_group_that_somebody_listens_to_a_new_job_is_told_with_its_first_heartbeat(
    api: Api, db: Session
) -> None:
    heard._KNOWN.until = 0
    job_id, other = a_running(db, 1), a_running(db, 2)
    heard.listen([], "00000001")
    for late in ({}, {"WallClockTime": 30.0}):
        assert (
            api.patch("/api/jobs/heartbeat", {str(job_id): {"Attempt": 1, **late}}, by=a_pilot()).json() == []
        )
    first = {str(number): {"Attempt": 1, "WallClockTime": 1.2} for number in (job_id, other)}
    follow = {"job_id": job_id, "command": "Follow", "arguments": ""}
    assert api.patch("/api/jobs/heartbeat", first, by=a_pilot()).json() == [follow]


def test_whoever_reads_a_jobs_log_again_and_again_listens_as_well(api: Api, db: Session) -> None:
    heard._KNOWN.until = 0
    job_id = a_running(db, 1)
    api.get(f"/api/jobs/{job_id}/logs")
    assert heard.listened([job_id]) == []
    api.get(f"/api/jobs/{job_id}/logs", params={"follow": "true"})
    wait_for(lambda: heard.listened([job_id, 4711]) == [job_id], 20, lambda: "nobody listens")


def test_without_redis_the_output_comes_all_the_same(
    api: Api, db: Session, installation: Installation, workflow_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heard, "_KNOWN", heard._Known())
    job_id = a_running(db, workflow_id)
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    away = configured(installation, "", DIRACX_REDIS_URL=nowhere)
    with away, served() as url, Listener(url, workflow_id) as alice:
        alice.hears("following")
        assert prints(api, job_id, "one\n") == []
        assert alice.reads(job_id, "one\n")


@pytest.mark.integration
def test_streams_end_at_once_when_the_server_is_stopped(
    installation: Installation, db: Session, workflow_id: int, tmp_path: Path
) -> None:
    port = free_port()
    command = ("uvicorn", "--factory", "diracx_api.app:create_app", f"--port={port}", "--log-level=warning")
    with Processes(tmp_path, {}) as servers:
        servers.start("api", *command)
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _answers(url, workflow_id), 60, lambda: servers.log)
        with Listener(url, workflow_id) as alice, Listener(url, workflow_id, logs=False) as other:
            alice.hears("following"), other.hears("state")
            servers.stop("api", signal.SIGTERM, 20)
            assert alice.ends() == other.ends() == []
        assert "Traceback" not in servers.log


def _answers(url: str, workflow_id: int) -> bool:
    import urllib3

    try:
        path = f"{url}/api/workflows/{workflow_id}"
        return urllib3.request("GET", path, headers=bearer(a_user()), retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
