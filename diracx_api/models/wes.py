"""What comes out of the Workflow Execution Service's routes: the schemas of GA4GH WES 1.1, field by field."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from diracx_api.models.fields import stated

TIME = "2026-11-23T10:00:00Z"
ADDRESS = "http://localhost:8000/ga4gh/wes/v1/runs/42"


class WesState(StrEnum):
    """Of a run; PAUSED and PREEMPTED do not occur here."""

    UNKNOWN = "UNKNOWN"
    QUEUED = "QUEUED"
    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETE = "COMPLETE"
    EXECUTOR_ERROR = "EXECUTOR_ERROR"
    SYSTEM_ERROR = "SYSTEM_ERROR"
    CANCELED = "CANCELED"
    CANCELING = "CANCELING"
    PREEMPTED = "PREEMPTED"


class WesError(BaseModel):
    """What went wrong."""

    msg: str = stated("In words.", "there is no workflow 42 in lhcb")
    status_code: int = stated("The HTTP status once more.", 404)
    diagnostics: list[dict[str, Any]] | None = stated(
        "Where a document is wrong: file, line, column, message, advice.", [], default=None
    )


class RunId(BaseModel):
    """A run."""

    run_id: str = stated("The workflow's number.", "42")


class RunStatus(RunId):
    """A run and its state."""

    state: WesState = stated("Its state.", "RUNNING")


class RunSummary(RunStatus):
    """A run in a list."""

    start_time: str = stated("When it was submitted, UTC.", TIME)
    end_time: str | None = stated("When it ended, UTC.", TIME, default=None)
    tags: dict[str, str] = stated("As they were sent.", {"sample": "17"})


class RunList(BaseModel):
    """A page of runs, newest first."""

    runs: list[RunSummary] = stated("The page.", [])
    next_page_token: str = stated("The page_token of the next page; empty on the last.", "WzQyXQ==")


class RunRequest(BaseModel):
    """How a run was asked for."""

    workflow_params: dict[str, Any] | None = stated("The input object.", {"points": 1000}, default=None)
    workflow_type: str = stated("CWL.", "CWL")
    workflow_type_version: str = stated("The version of CWL.", "v1.2")
    tags: dict[str, str] | None = stated("As they were sent.", {"sample": "17"}, default=None)
    workflow_engine_parameters: dict[str, str] | None = stated(
        "As they were sent.", {"on_error": "continue"}, default=None
    )
    workflow_engine: str | None = stated("As it was sent.", "diracx", default=None)
    workflow_engine_version: str | None = stated("As it was sent.", "0.1.0", default=None)
    workflow_url: str = stated("The main document among the attachments.", "workflow.cwl")


class WesLog(BaseModel):
    """How something ran."""

    name: str = stated("Its name.", "pi")
    start_time: str | None = stated("When it began, UTC.", TIME, default=None)
    end_time: str | None = stated("When it ended, UTC.", TIME, default=None)
    stdout: str | None = stated("Where its output can be read.", f"{ADDRESS}/stdout", default=None)
    stderr: str | None = stated("Where its log can be read.", f"{ADDRESS}/stderr", default=None)
    exit_code: int | None = stated("Its exit code once it has ended.", 0, default=None)
    system_logs: list[str] = stated("What the system says of it.", ["Done: Execution Complete"], default=[])


class TaskLog(WesLog):
    """How a job of a run ran."""

    id: str = stated("The job's number.", "17")


class TaskList(BaseModel):
    """A page of a run's jobs, oldest first."""

    task_logs: list[TaskLog] = stated("The page.", [])
    next_page_token: str = stated("The page_token of the next page; empty on the last.", "WzE3XQ==")


class RunLog(RunStatus):
    """Everything about a run."""

    request: RunRequest = stated("How it was asked for.", {})
    run_log: WesLog = stated("How it ran.", {})
    task_logs_url: str = stated("Where its jobs are listed.", f"{ADDRESS}/tasks")
    task_logs: list[TaskLog] | None = stated(
        "For clients of WES 1.0: its jobs if there are at most 100.", [], default=None
    )
    outputs: dict[str, Any] = stated(
        "The output object once there is one; files have a `url` beside their `location`.", {"pi": 3.14}
    )


class ServiceType(BaseModel):
    """What kind of service this is."""

    group: str = stated("Whose standard.", "org.ga4gh")
    artifact: str = stated("Which one.", "wes")
    version: str = stated("Its version.", "1.1.0")


class Organization(BaseModel):
    """Who runs this service."""

    name: str = stated("Its name.", "diracx.example.org")
    url: str = stated("Its address.", "https://diracx.example.org")


class TypeVersions(BaseModel):
    """Versions of a language."""

    workflow_type_version: list[str] = stated("All that can be run.", ["v1.2"])


class EngineVersions(BaseModel):
    """Versions of an engine."""

    workflow_engine_version: list[str] = stated("All that are here.", ["0.1.0"])


class DefaultParameter(BaseModel):
    """A parameter of the engine."""

    name: str = stated("Its name.", "on_error")
    type: str = stated("Its type.", "string")
    default_value: str = stated("What it is when it is not sent.", "stop")


class ServiceInfo(BaseModel):
    """What this service is and can do."""

    id: str = stated("Its name, unique in the world.", "org.example.diracx.wes")
    name: str = stated("Its name for people.", "DiracX on Celery")
    type: ServiceType = stated("What kind of service.", {})
    description: str = stated("What it does.", "CWL workflows as jobs of the grid.")
    organization: Organization = stated("Who runs it.", {})
    documentationUrl: str = stated("Where it is described.", "http://localhost:8000/api/docs")
    version: str = stated("This software's version.", "0.1.0")
    workflow_type_versions: dict[str, TypeVersions] = stated("Languages and versions.", {})
    supported_wes_versions: list[str] = stated("Versions of this standard.", ["1.1.0"])
    supported_filesystem_protocols: list[str] = stated("Schemes of input files.", ["sandbox", "lfn"])
    workflow_engine_versions: dict[str, EngineVersions] = stated("Engines and versions.", {})
    default_workflow_engine_parameters: list[DefaultParameter] = stated("What a run can be told.", [])
    system_state_counts: dict[WesState, int] = stated("Runs of all users by state.", {"RUNNING": 7})
    auth_instructions_url: str = stated("How to get a token.", "http://localhost:8000/ga4gh/wes/v1/token")
    tags: dict[str, str] = stated("More about it.", {"cwltool": "3.3.20260925135507"})
