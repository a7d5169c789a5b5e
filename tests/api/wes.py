"""GA4GH's Workflow Execution Service as tests speak to it; answers are held against its schemas."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from jsonschema_rs import validator_for
from sqlalchemy.orm import Session

from diracx_api.wes.prefix import PREFIX
from diracx_tasks.core.database import now
from diracx_tasks.jobs.states import Status as JobStatus
from diracx_tasks.workflows.states import Status
from tests.api.caller import Api
from tests.builders import TOOL, a_job, a_workflow

STANDARD: dict[str, Any] = json.loads((Path(__file__).parent / "wes_1.1.0_openapi.json").read_text())
# GA4GH's service-info 1.0.0, which every service's own extends.
SERVICE: dict[str, Any] = {
    "type": "object",
    "required": ["id", "name", "type", "organization", "version"],
    "properties": {
        "type": {"type": "object", "required": ["group", "artifact", "version"]},
        "organization": {"type": "object", "required": ["name", "url"]},
    },
}
COUNT = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: [wc, -l]
inputs:
  text: {type: File, inputBinding: {}}
outputs: []
"""


def conforms(name: str, answer: Any) -> Any:
    """The answer, which fits the standard's schema of this name."""
    schemas = {**STANDARD["schemas"]}
    schemas["ServiceInfo"] = {"allOf": [SERVICE, schemas["ServiceInfo"]]}
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
    validator_for(schema).validate(answer)
    return answer


class Wes:
    """The service's operations by their names in the standard, each answer checked."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Any answer; one that is an error fits the standard as well."""
        answer = self.api.ask(method, f"{PREFIX}{path}", **options)
        if answer.status_code >= 400:
            said = conforms("ErrorResponse", answer.json())
            assert said["status_code"] == answer.status_code and said["msg"]
        return answer

    def get(self, operation: str, path: str, **query: Any) -> Any:
        """What an operation that reads answers, with 200."""
        answer = self.ask("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return conforms(STANDARD["operations"][operation]["answer"], answer.json())

    def submit(self, files: dict[str, str] | None = None, **fields: Any) -> httpx2.Response:
        """The answer to RunWorkflow; fields that are no texts are sent as JSON."""
        given = {"workflow.cwl": TOOL} if files is None else files
        stated: dict[str, Any] = {
            "workflow_url": "workflow.cwl",
            "workflow_type": "CWL",
            "workflow_type_version": "v1.2",
            "workflow_params": {"words": "hello"},
            **fields,
        }
        options = {name: stated.pop(name) for name in ("by", "headers") if name in stated}
        form = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in stated.items()
            if value is not None
        }
        parts = [("workflow_attachment", (name, text.encode())) for name, text in given.items()]
        # A form without files is not multipart to the client.
        return self.ask("POST", "/runs", data=form, files=parts or [("x", ("", b""))], **options)

    def run(self, files: dict[str, str] | None = None, **fields: Any) -> str:
        """The number of a run that was accepted."""
        answer = self.submit(files, **fields)
        assert answer.status_code == 200, answer.text
        return str(conforms("RunId", answer.json())["run_id"])


@pytest.fixture
def wes(api: Api) -> Wes:
    """The service."""
    return Wes(api)


def a_run(db: Session, status: Status = Status.RUNNING, reason: str = "", **stated: Any) -> int:
    """A workflow in a status."""
    found = a_workflow(db, **stated)
    found.status, found.reason = status, reason
    found.ended_at = now() if status in (Status.DONE, Status.FAILED, Status.KILLED) else None
    db.commit()
    return found.workflow_id


def a_task(db: Session, run: int, status: JobStatus = JobStatus.WAITING, **stated: Any) -> int:
    """A job of a workflow."""
    job_id = a_job(db, status, job_group=f"{run:08d}", **stated)
    db.commit()
    return job_id
