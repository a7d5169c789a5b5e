"""What goes in and comes out of the workflows' routes."""

from typing import Any, Literal

from pydantic import BaseModel

from diracx_api.models.fields import stated

DOCUMENT = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\ninputs: []\noutputs: []\n"
TIME = "2026-11-23T10:00:00.123456Z"
FILE = {
    "class": "File",
    "location": "sandbox:/S3/local/local/user/alice/sha256:9f86d08….file",
    "basename": "pi.json",
}
STATE = (
    "Running or Waiting while one of its instances is, else the state of the worst; "
    "Not run when the workflow has ended without one."
)


class Running(BaseModel):
    """How a workflow is to be run."""

    on_error: Literal["stop", "continue"] = stated(
        "After a failure: stop, or continue with the steps and elements that do not need what failed.",
        "continue",
        default="stop",
    )
    reuse: bool = stated(
        "Take results of your earlier jobs with the same tool and inputs (CWL's WorkReuse).",
        True,
        default=True,
    )
    retries: int = stated(
        "How often a tool that failed temporarily is tried again.", 2, default=2, ge=0, le=10
    )


class Submission(Running):
    """A workflow to be checked or run."""

    files: dict[str, str | dict[str, str]] = stated(
        'The documents and the files they refer to, by relative path: a text, or {"base64": ...}.',
        {"workflow.cwl": DOCUMENT},
    )
    main: str = stated("The document to start from, with `#id` for one process of several.", "workflow.cwl")
    inputs: dict[str, Any] | str | None = stated(
        "The input object, or its YAML text; files by a `sandbox:` location.", {"points": 1000}, default=None
    )
    name: str = stated("A name for people; the main document's by default.", "pi", default="", max_length=128)


class Submitted(BaseModel, from_attributes=True):
    """A workflow that was stored and will be run."""

    workflow_id: int = stated("The workflow's number.", 42)
    name: str = stated("Its name.", "pi")
    status: str = stated("Its status.", "Received")


class GraphNode(BaseModel):
    """A step; a scatter is one node."""

    path: str = stated("The step's place: step `b` of the workflow that step `a` runs is `a/b`.", "simulate")
    name: str = stated("The last part of the path.", "simulate")
    kind: str = stated("tool, workflow or expression.", "tool")
    parent: str = stated("The path of the workflow around it; empty for the outermost.", "")
    scatter: bool = stated("Whether the step is scattered.", True)
    loop: bool = stated("Whether the step is repeated.", False, default=False)
    hints: dict[str, Any] = stated(
        "What a tool's jobs ask for, with defaults; expressions as they stand.",
        {"type": "User", "cores": 1, "ram_mb": 256},
        default={},
    )
    state: str = stated(STATE, "Running", default="")
    done: int = stated("Instances that are done or skipped.", 7, default=0)
    total: int = stated("Instances that are known so far.", 8, default=0)
    reused: int = stated("Of those that are done: taken from an earlier workflow.", 2, default=0)


class GraphEdge(BaseModel):
    """Values flow from one step to another."""

    source: str = stated("Path of the step that gives.", "simulate", alias="from")
    target: str = stated("Path of the step that takes.", "gather", alias="to")


class Graph(BaseModel):
    """Steps and what flows between them."""

    nodes: list[GraphNode] = stated("All steps, outer ones first.", [])
    edges: list[GraphEdge] = stated("All links between siblings.", [{"from": "simulate", "to": "gather"}])
    inputs: list[dict[str, Any]] = stated(
        "The workflow's inputs, and the steps that take them.",
        [{"name": "seeds", "type": "int[]", "to": ["simulate"]}],
        default=[],
    )
    outputs: list[dict[str, Any]] = stated(
        "The workflow's outputs, and the steps that give them.",
        [{"name": "pi", "type": "double", "from": ["gather"]}],
        default=[],
    )


class Estimate(BaseModel):
    """How much a workflow will be."""

    jobs: int = stated("Jobs that it makes at least, if nothing is reused.", 9)
    cores: float = stated("Cores that they ask for if all run at once.", 9)
    is_exact: bool = stated("False when scatters, conditions or loops are only known later.", True)


class Checked(BaseModel):
    """A document that can run."""

    ok: bool = stated("Always true: a document that cannot run gives 422.", True)
    diagnostics: list[dict[str, Any]] = stated("Remarks that do not stand in the way.", [])
    graph: Graph = stated("The workflow's steps.", {"nodes": [], "edges": []})
    estimate: Estimate | None = stated(
        "How much it will be; null without inputs.", {"jobs": 9, "cores": 9, "is_exact": True}, default=None
    )


class Counts(BaseModel):
    """How many jobs are where."""

    total: int = stated("All jobs made so far.", 9)
    waiting: int = stated("Not yet with a pilot.", 1)
    running: int = stated("With a pilot.", 2)
    done: int = stated("Ended well, or were there already.", 5)
    skipped: int = stated("Not needed.", 1)
    failed: int = stated("Ended badly.", 0)
    killed: int = stated("Killed.", 0)
    reused: int = stated("Of those that are done: taken from an earlier workflow.", 2)


class WorkflowHead(BaseModel):
    """A workflow in a list."""

    workflow_id: int = stated("The workflow's number.", 42)
    name: str = stated("Its name.", "pi")
    status: str = stated("Received, Running, Killing, Done, Failed or Killed.", "Running")
    owner: str = stated("Who submitted it.", "alice")
    group: str = stated("In which group.", "user")
    vo: str = stated("In which VO.", "lhcb")
    submitted_at: str = stated("When it was submitted, UTC.", TIME)
    ended_at: str | None = stated("When it ended, UTC.", TIME)


class WorkflowRow(WorkflowHead):
    """A workflow in a list, with its jobs counted."""

    jobs: Counts = stated("Its jobs.", {})


class WorkflowPage(BaseModel):
    """Workflows, newest first."""

    workflows: list[WorkflowRow] = stated("The page.", [])
    next: int | None = stated("The value of `before` for the next page; null on the last.", 17)


class StepState(BaseModel):
    """A step and its instances."""

    path: str = stated("The step's place.", "simulate")
    name: str = stated("The last part of the path.", "simulate")
    kind: str = stated("tool, workflow or expression.", "tool")
    scatter: bool = stated("Whether it is scattered.", True)
    state: str = stated(STATE, "Running")
    total: int = stated("Instances known so far.", 8)
    counts: dict[str, int] = stated(
        "Instances by state: Waiting, Running, Done, Skipped, Failed, Killed.", {"Done": 7, "Running": 1}
    )
    reused: int = stated("Of those that are Done: taken from an earlier workflow.", 2)


class WorkflowDetail(WorkflowHead):
    """Everything about a workflow."""

    reason: str = stated("Why it failed or was killed.", "simulate: exit code 3 (job 17)")
    bundle: str = stated("SHA-256 of its original files.", "9f86d081884c7d65…")
    steps: list[StepState] = stated("Its steps.", [])
    outputs: dict[str, Any] | None = stated("Its outputs once it has ended.", {"result": FILE})


class Elements(BaseModel):
    """A part of an array."""

    elements: list[Any] = stated("The elements.", [3, 5, 8])
    length: int = stated("How many the whole array has.", 1_000_000)


class Event(BaseModel):
    """Something that happened."""

    event_id: int = stated("Grows with time.", 7)
    at: str = stated("When, UTC.", TIME)
    path: str = stated("The step; empty for the workflow itself.", "simulate")
    slot: int | None = stated("Which element of a scatter.", 3)
    status: str = stated("The state entered.", "Failed")
    message: str = stated("In words.", "exit code 3 (job 17)")
    job_id: int | None = stated("The job concerned.", 17)


class Events(BaseModel):
    """What happened since."""

    events: list[Event] = stated("Oldest first.", [])
    last: int = stated("The value of `after` for the next call.", 7)


class WorkflowState(BaseModel):
    """A workflow's status after a command."""

    workflow_id: int = stated("The workflow's number.", 42)
    status: str = stated("Its status.", "Killing")


class BundleFiles(BaseModel):
    """A workflow's original files."""

    entrypoint: str = stated("The document to start from.", "workflow.cwl")
    files: dict[str, Any] = stated(
        'By relative path: a text, or {"base64": ...}.', {"workflow.cwl": DOCUMENT}
    )
