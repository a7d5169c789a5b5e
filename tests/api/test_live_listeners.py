"""Who listens to a running workflow, how many may, what their pilots hear of it, and the server's stop."""

import signal
from pathlib import Path

import pytest
import urllib3
from sqlalchemy.orm import Session

from diracx_api import listeners
from diracx_tasks.core.errors import ApiError
from diracx_tasks.jobs import listening as heard
from tests.api.caller import Api
from tests.api.configured import configured
from tests.api.served import Listener, a_running, ends, listening, prints, served, url, workflow_id
from tests.builders import Installation, a_pilot, a_user, bearer
from tests.processes import Processes
from tests.servers import free_port
from tests.system import wait_for

__all__ = ["url", "workflow_id"]
CLOSED = "Operations: {lhcb: {Services: {JobMonitoring: {GlobalJobsInfo: false}}}}\n"


def test_many_listen_while_the_others_are_served(url: str, api: Api, db: Session, workflow_id: int) -> None:
    job_id = a_running(db, workflow_id)
    crowd = [Listener(url, workflow_id, by=a_user(f"user{number}")) for number in range(25)]
    try:
        prints(api, job_id, "hello\n")
        assert all(one.reads(job_id, "hello\n") for one in crowd)
        answer = api.get(f"/api/workflows/{workflow_id}")
        assert answer.status_code == 200
        ends(db, workflow_id)
        assert [one.ends()[0]["status"] for one in crowd] == ["Done"] * 25
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
    job_id, other = (
        a_running(db, workflow_id),
        a_running(db, workflow_id, job_group="00000000", owner_id=None),
    )
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
    try:
        path = f"{url}/api/workflows/{workflow_id}"
        return urllib3.request("GET", path, headers=bearer(a_user()), retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
