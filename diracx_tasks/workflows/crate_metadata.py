"""The metadata of a Workflow Run RO-Crate (Process, Workflow and Provenance Run Crate 0.5) as JSON-LD."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from diracx_tasks.workflows.crate_entities import Entities, Entity, kind_of, quoted, to

METADATA = "ro-crate-metadata.json"
CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
RO_CRATE = "https://w3id.org/ro/crate/1.1"
WORKFLOW_RO_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILE = "https://w3id.org/ro/wfrun/{}/0.5"
WORKFLOW = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
DONE, FAILED = "http://schema.org/CompletedActionStatus", "http://schema.org/FailedActionStatus"
ACTIVE = "http://schema.org/ActiveActionStatus"
CWL = "https://w3id.org/workflowhub/workflow-ro-crate#cwl"
ENGINE, ORGANIZE, RUN = "#engine", "#organize", "#run"


@dataclass(frozen=True)
class Action:
    """One run of a step's tool or expression."""

    number: int
    slot: int
    is_done: bool
    reason: str
    job_id: int | None
    attempt: int
    site: str
    started_at: datetime | None
    ended_at: datetime | None
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    reused_from: int | None = None


@dataclass(frozen=True)
class Run:
    """The whole workflow; `types` are those of its inputs and outputs, by name, where they are known."""

    workflow_id: int
    name: str
    entrypoint: str
    owner: str
    group: str
    vo: str
    is_done: bool
    is_over: bool
    reason: str
    submitted_at: datetime
    ended_at: datetime | None
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    types: dict[str, str] = field(default_factory=dict)


class Metadata:
    """Collects the entities of a run: first its steps one by one, then all of it with `document`."""

    def __init__(self, run: Run, files: set[str]) -> None:
        self._run = run
        self._main = quoted(run.entrypoint.partition("#")[0])
        self._agent = f"#{quoted(run.owner)}"
        self._entities = Entities()
        self._steps: list[str] = []
        self._tools: list[str] = []
        self._controls: list[str] = []
        self._actions: list[str] = []
        self._idle: list[str] = []
        for name in sorted(map(quoted, files)):
            self._entities.put(name, "File", name=name)
            self._entities.data.append(name)

    @property
    def literals(self) -> dict[str, bytes]:
        """The contents of files that have no other place, by their names."""
        return self._entities.literals

    def add_step(self, step: Entity, actions: Sequence[Action], words: str) -> None:
        """A step with its runs; one that never ran is only mentioned."""
        name = step["path"] or step["name"]
        if not actions:
            self._idle.append(name)
            return
        key = quoted(name)
        tool, place, control = f"#tool/{key}", f"{self._main}#step/{key}", f"#control/{key}"
        self._steps.append(place)
        self._tools.append(tool)
        self._controls.append(control)
        words_of_tool = f"The {step['kind']} of the step {name}"
        self._entities.put(tool, "SoftwareApplication", name=name, description=words_of_tool)
        position = str(len(self._steps))
        self._entities.put(place, "HowToStep", name=name, position=position, workExample=to(tool))
        made = [self._action(one, name, tool) for one in actions]
        self._actions += made
        self._entities.put(
            control,
            "ControlAction",
            name=f"Runs of the step {name}",
            description=words,
            instrument=to(place),
            object=list(map(to, made)),
            actionStatus=DONE if all(one.is_done for one in actions) else FAILED,
        )

    def document(self) -> Entity:
        """All of it as JSON-LD."""
        self._describe()
        self._tell_of_the_workflow()
        self._tell_of_the_run()
        profiles = ["process", "workflow", *(["provenance"] if self._tools else [])]
        links = [PROFILE.format(name) for name in profiles]
        for name, link in zip(profiles, links, strict=True):
            self._entities.put(link, "CreativeWork", name=f"{name.title()} Run Crate", version="0.5")
        self._entities.put(WORKFLOW_RO_CRATE, "CreativeWork", name="Workflow RO-Crate", version="1.0")
        about = {"conformsTo": [to(RO_CRATE), to(WORKFLOW_RO_CRATE)], "about": to("./")}
        root = self._root([*links, WORKFLOW_RO_CRATE])
        described = {"@id": METADATA, "@type": "CreativeWork", **about}
        return {"@context": CONTEXT, "@graph": [described, root, *self._entities.by_id.values()]}

    def _root(self, profiles: Iterable[str]) -> Entity:
        run = self._run
        return {
            "@id": "./",
            "@type": "Dataset",
            "name": f"Workflow {run.workflow_id} {run.name} of {run.vo}",
            "description": self._description(),
            "datePublished": _time(run.ended_at or run.submitted_at),
            "license": "Its owner has stated none.",
            "conformsTo": list(map(to, profiles)),
            "mainEntity": to(self._main),
            "hasPart": list(map(to, dict.fromkeys([self._main, *self._entities.data]))),
            "mentions": list(map(to, [RUN, *([ORGANIZE] if self._tools else []), *self._actions])),
        }

    def _description(self) -> str:
        run = self._run
        ended = "It is done." if run.is_done else f"It failed: {run.reason}"
        ended = ended if run.is_over else "It still goes on: this is what has happened so far."
        idle = f" Steps that never ran: {', '.join(self._idle)}." if self._idle else ""
        return f"A run of the CWL workflow {run.entrypoint}, submitted by {run.owner}. {ended}{idle}"

    def _describe(self) -> None:
        """Who it was run for, and the language."""
        run, put = self._run, self._entities.put
        vo = f"#{quoted(run.vo)}"
        put(self._agent, "Person", name=run.owner, affiliation=to(vo))
        put(vo, "Organization", name=run.vo, description=f"The VO; the group is {run.group}")
        put(
            CWL,
            "ComputerLanguage",
            name="Common Workflow Language",
            alternateName="CWL",
            identifier=to("https://w3id.org/cwl/v1.2/"),
            url=to("https://www.commonwl.org/"),
        )

    def _tell_of_the_workflow(self) -> None:
        kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow", *(["HowTo"] if self._steps else [])]
        self._entities.put(
            self._main,
            kinds,
            name=self._run.name,
            conformsTo=to(WORKFLOW),
            programmingLanguage=to(CWL),
            input=self._parameters("input", self._run.inputs),
            output=self._parameters("output", self._run.outputs),
            hasPart=list(map(to, self._tools)) or None,
            step=list(map(to, self._steps)) or None,
        )

    def _tell_of_the_run(self) -> None:
        run, put = self._run, self._entities.put
        times = {"startTime": _time(run.submitted_at), "endTime": _time(run.ended_at)}
        put(
            RUN,
            "CreateAction",
            name=f"Run of {run.name} as workflow {run.workflow_id}",
            agent=to(self._agent),
            instrument=to(self._main),
            object=list(self._entities.values("#run/in", run.inputs, "input")),
            result=list(self._entities.values("#run/out", run.outputs, "output")),
            actionStatus=(DONE if run.is_done else FAILED) if run.is_over else ACTIVE,
            error=run.reason or "it failed" if run.is_over and not run.is_done else None,
            **times,
        )
        if not self._tools:
            return
        put(ENGINE, "SoftwareApplication", name="DiracX on Celery", softwareVersion=_version())
        put(
            ORGANIZE,
            "OrganizeAction",
            name=f"Execution of workflow {run.workflow_id}",
            agent=to(self._agent),
            instrument=to(ENGINE),
            object=list(map(to, self._controls)),
            result=to(RUN),
            **times,
        )

    def _parameters(self, side: str, values: dict[str, Any]) -> list[Entity]:
        known = self._run.types
        return [
            to(self._entities.parameter(side, name, known.get(name) or kind_of(value)))
            for name, value in values.items()
        ]

    def _action(self, one: Action, step: str, tool: str) -> str:
        key = f"#action/{one.number}"
        again = f" The result was taken from instance {one.reused_from}." if one.reused_from else ""
        self._entities.put(
            key,
            "CreateAction",
            name=f"Run {one.slot} of the step {step}",
            description=f"Instance {one.number}.{again}",
            agent=to(self._agent),
            instrument=to(tool),
            object=list(self._entities.values(f"{key}/in", one.inputs)),
            result=list(self._entities.values(f"{key}/out", one.outputs)),
            actionStatus=DONE if one.is_done else FAILED,
            startTime=_time(one.started_at),
            endTime=_time(one.ended_at),
            identifier=f"job {one.job_id}, attempt {one.attempt}" if one.job_id else None,
            location=f"site {one.site}" if one.site else None,
            error=None if one.is_done else one.reason or "it failed",
        )
        return key


def _time(moment: datetime | None) -> str:
    return f"{moment.isoformat(timespec='seconds')}+00:00" if moment else ""


def _version() -> str:
    try:
        return version("diracx-celery")
    except PackageNotFoundError:
        return "unknown"
