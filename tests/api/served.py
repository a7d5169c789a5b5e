"""The API behind a real uvicorn, and who listens to what it streams."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import urllib3
import uvicorn
from sqlalchemy import update
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.client import Client
from diracx_tasks.core.sse import Message, messages
from diracx_tasks.jobs import listening as heard
from diracx_tasks.jobs.states import Status as JobStatus
from diracx_tasks.workflows import events
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Workflow
from tests.api.caller import ALICE, Api
from tests.api.conftest import application
from tests.builders import Installation, a_job, a_pilot, a_workflow, bearer
from tests.servers import free_port
from tests.system import wait_for

Said = dict[str, Any]


@contextmanager
def served(port: int = 0) -> Iterator[str]:
    """The API at an address, as uvicorn serves it behind a proxy."""
    port = port or free_port()
    options = uvicorn.Config(application(), port=port, log_config=None, proxy_headers=True)
    server = uvicorn.Server(options)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started, 30, lambda: "uvicorn does not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


class Listener(threading.Thread):
    """Reads the stream of a workflow to its end, or until it is closed."""

    def __init__(self, url: str, workflow_id: int, *, by: User = ALICE, last: str = "", **query: Any) -> None:
        super().__init__(daemon=True)
        self.said: list[Message] = []
        token = bearer(by)["Authorization"].removeprefix("Bearer ")
        headers = {"Last-Event-ID": last} if last else {}
        path = f"/api/workflows/{workflow_id}/live"
        stream = Client(url, token, retries=0).stream(path, timeout=30, headers=headers, **query)
        self._opened = ExitStack()
        self._answer = self._opened.enter_context(stream)
        self.headers = self._answer.headers
        self.start()

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_alive():
            self._answer.shutdown()
        self.join(10)
        self._opened.close()

    def run(self) -> None:
        """Note everything that is said."""
        try:
            for one in messages(self._answer.stream(65536)):
                self.said.append(one)
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError):
            return

    def of(self, kind: str) -> list[Said]:
        """What was said of a kind."""
        return [json.loads(one.data) for one in list(self.said) if one.kind == kind]

    @property
    def last_id(self) -> str:
        """The newest id."""
        return self.said[-1].last_id

    def text_of(self, job_id: int) -> str:
        """The output of a job, as somebody reads it who puts the pieces together."""
        found = ""
        for one in self.of("log"):
            if one["job_id"] == job_id:
                found = one["text"] if one["whole"] else found + one["text"]
        return found

    def hears(self, kind: str, count: int = 1) -> list[Said]:
        """What was said of a kind, once it is so much."""
        wait_for(lambda: len(self.of(kind)) >= count, 20, lambda: f"no {count} {kind} in {self.said}")
        return self.of(kind)

    def reads(self, job_id: int, text: str) -> bool:
        """Return when the output of a job is this."""
        wait_for(lambda: self.text_of(job_id) == text, 20, lambda: f"not {text!r} but {self.said}")
        return True

    def ends(self) -> list[Said]:
        """What was said at the end of the stream, which has come."""
        self.join(20)
        assert not self.is_alive(), self.said
        return self.of("end")


def listening(url: str, workflow_id: int, **options: Any) -> list[Message]:
    """All that there is to say of a workflow now."""
    with Listener(url, workflow_id, seconds=0, **options) as one:
        one.ends()
        return one.said


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
    """A running job of a workflow, which the pilot stamp-1 has."""
    job_id = a_job(
        db,
        JobStatus.RUNNING,
        **{
            "job_group": f"{workflow_id:08d}",
            "owner_id": workflow_id,
            "name": "workflow.cwl",
            **stated,
        },
    )
    db.commit()
    return job_id


def prints(api: Api, job_id: int, text: str) -> list[dict[str, Any]]:
    """Have the pilot send a job's output; what it is told."""
    sent = {str(job_id): {"Attempt": 1, "StandardOutput": text}}
    answer = api.patch("/api/jobs/heartbeat", sent, by=a_pilot())
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def ends(db: Session, workflow_id: int, status: Status = Status.DONE) -> None:
    """Have a workflow end."""
    db.execute(update(Workflow).where(Workflow.workflow_id == workflow_id).values(status=status))
    events.tell(db, workflow_id, status)
    db.commit()
