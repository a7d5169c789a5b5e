"""A workflow while it runs: what is new of it, and the outputs of its jobs with their places in it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from diracx_tasks.core.database import database_time, utc
from diracx_tasks.core.errors import NotFound
from diracx_tasks.core.packed import unpacked
from diracx_tasks.jobs import tails
from diracx_tasks.jobs.tails import Jobs, Output
from diracx_tasks.workflows import events, places, search
from diracx_tasks.workflows.states import FINAL
from diracx_tasks.workflows.tables import Node, Workflow, WorkflowEvent

# Events that one look reads; the rest follows with the next one.
PAGE = 500
# So many jobs are followed at a time; who wants another one names it or its step.
MOST = 32
# A transaction that ended a job may commit so long after the time that it has written down.
LATE = timedelta(seconds=5)
# A job and its attempt.
Key = tuple[int, int]


@dataclass(frozen=True)
class Look:
    """A workflow as it is: its state, its steps with their counts, and the events since the last look."""

    state: dict[str, Any]
    steps: list[dict[str, Any]]
    events: list[dict[str, Any]]
    last: int

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state["status"] in FINAL


class Filter(NamedTuple):
    """Whose output one wants: of all jobs, of a step's, or of one."""

    step: str | None = None
    job_id: int | None = None


class Text(NamedTuple):
    """The end of an attempt's output, as it is stored."""

    output: Output
    text: str
    at: datetime | None
    place: str
    step: str
    slot: int | None


@dataclass(frozen=True)
class Outputs:
    """What is new in the outputs of jobs, how many jobs run, and when that was."""

    texts: list[Text]
    following: list[int]
    running: int
    at: datetime


def look(db: Session, workflow_id: int, after: int | None, *, sees_jobs: bool) -> Look:
    """The workflow now, with up to PAGE events after the event `after`; None: with none of the past.

    What is told of its jobs is left out for those who do not see these.
    """
    workflow = db.get(Workflow, workflow_id, options=[defer(Workflow.outputs)], populate_existing=True)
    if workflow is None:
        raise NotFound(f"workflow {workflow_id} is gone")
    names = "workflow_id", "name", "status"
    times = {name: utc(getattr(workflow, name)) for name in ("submitted_at", "ended_at")}
    state = {name: getattr(workflow, name) for name in names} | times
    state["reason"] = workflow.reason if sees_jobs else ""
    steps = [step_of(node) for node in search.graph(db, workflow)["nodes"]]
    if after is None:
        return Look(state, steps, [], event_before(db, workflow_id, 0))
    told = events_between(db, workflow_id, after, None, sees_jobs=sees_jobs)
    return Look(state, steps, told, told[-1]["event_id"] if told else after)


def step_of(node: Mapping[str, Any]) -> dict[str, Any]:
    """A step with its progress."""
    return {key: node[key] for key in ("path", "name", "kind", "scatter", "state", "done", "total", "reused")}


def events_between(
    db: Session, workflow_id: int, after: int, last: int | None, *, sees_jobs: bool
) -> list[dict[str, Any]]:
    """Up to PAGE events after one, none after another one, as the API gives them."""
    names = "event_id", "path", "slot", "status", "message", "job_id"
    return [
        {name: getattr(event, name) for name in names} | {"at": utc(event.at)}
        for event in events.since(db, workflow_id, after, PAGE, sees_jobs=sees_jobs)
        if last is None or event.event_id <= last
    ]


def event_before(db: Session, workflow_id: int, count: int) -> int:
    """The number after which there are `count` events; 0 when there are no more than these."""
    query = select(WorkflowEvent.event_id).where(WorkflowEvent.workflow_id == workflow_id)
    return db.scalar(query.order_by(WorkflowEvent.event_id.desc()).offset(count).limit(1)) or 0


def jobs_of(workflow: Workflow, wanted: Filter) -> Jobs:
    """The workflow's jobs that are wanted; NotFound when it has no such step."""
    name = None
    if wanted.step is not None:
        name = _job_name(workflow, wanted.step)
    return Jobs(workflow.vo, f"{workflow.workflow_id:08d}", name, wanted.job_id)


def new_outputs(
    db: Session,
    workflow_id: int,
    jobs: Jobs,
    *,
    since: datetime | None,
    following: Collection[int],
    known: Mapping[Key, datetime | None],
    over: Collection[Key],
) -> Outputs:
    """What has come of the jobs that run, and of those that have ended `since` the last time.

    `following` are the jobs that were followed then, `known` the attempts with when what is known of their
    output came, `over` those whose end is known: what has not changed is not read.
    """
    moment = database_time(db)
    running = tails.running(db, jobs, MOST)
    ids = {one.job_id for one in running}
    gone = tails.known(db, jobs, [job_id for job_id in following if job_id not in ids])
    ended = tails.ended(db, jobs, since - LATE, MOST) if since else []
    every = {(one.job_id, one.attempt): one for one in [*running, *gone, *ended]}
    fresh = [one for key, one in every.items() if key not in over and _is_news(one, known, key)]
    count = tails.running_count(db, jobs) if len(running) == MOST else len(running)
    return Outputs(_texts(db, workflow_id, fresh), sorted(ids), count, moment)


def stored_outputs(db: Session, workflow_id: int, jobs: Jobs, limit: int) -> list[Text]:
    """The outputs of the jobs that one wants to read first: failed ones, running ones, the newest."""
    return _texts(db, workflow_id, tails.stored(db, jobs, limit))


def _is_news(one: Output, known: Mapping[Key, datetime | None], key: Key) -> bool:
    return one.is_final or one.at != known.get(key)


def _texts(db: Session, workflow_id: int, outputs: list[Output]) -> list[Text]:
    places = _places(db, workflow_id, [one.job_id for one in outputs]) if outputs else {}
    found = []
    for one, text, at in tails.texts(db, outputs) if outputs else ():
        found.append(Text(one, text, at, *places.get(one.job_id, (one.name, "", None))))
    return found


def _job_name(workflow: Workflow, step: str) -> str:
    paths = [node["path"] for node in unpacked(workflow.graph)["nodes"] if node["kind"] != "workflow"]
    if step not in paths:
        listed = ", ".join(path or '""' for path in paths[:20])
        raise NotFound(f"workflow {workflow.workflow_id} has no step {step!r} with jobs: it has {listed}")
    return (step or workflow.name)[:128]


def _places(db: Session, workflow_id: int, job_ids: list[int]) -> dict[int, tuple[str, str, int | None]]:
    """For each job `outer[3]/inner[7]`, its path and its own slot; none for a workflow that is one tool."""
    mine = (Node.job_id.in_(job_ids), Node.workflow_id == workflow_id)
    rows = db.execute(select(*places.COLUMNS, Node.job_id).where(*mine)).all()
    found = places.of_nodes(db, rows)
    return {
        row.job_id: (found[row.node_id].label, row.path, found[row.node_id].slot) for row in rows if row.path
    }
