"""A workflow that estimates pi, in every state: its pilots only say what each job does."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import select

from diracx_tasks.core.database import reading, session
from diracx_tasks.jobs.finish import finish
from diracx_tasks.jobs.heartbeat import Report
from diracx_tasks.jobs.optimize import optimize
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.status import Change, move
from diracx_tasks.jobs.tables import Attempt, Job
from diracx_tasks.workflows.submit import Options
from diracx_tasks.workflows.tables import Node
from diracx_tasks.workflows.turn import turn
from tests.builders import a_pilot, claim
from tests.unit.workflows.lives import begun

TEXT = """cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}}
inputs: {seeds: 'int[]', title: string}
outputs:
  pi: {type: Any, outputSource: gather/pi}
  counts: {type: 'Any[]', outputSource: simulate/count}
steps:
  simulate:
    scatter: seed
    in: {seed: seeds}
    out: [count]
    run:
      class: CommandLineTool
      baseCommand: 'true'
      requirements: {ResourceRequirement: {ramMin: 2048, coresMin: 1}}
      inputs: {seed: int}
      outputs: {count: Any}
  check:
    in: {counts: simulate/count}
    out: [good]
    run:
      class: Workflow
      inputs: {counts: 'Any[]'}
      outputs: {good: {type: Any, outputSource: look/good}}
      steps:
        look:
          in: {counts: counts}
          out: [good]
          run: {class: CommandLineTool, baseCommand: 'true', inputs: {counts: 'Any[]'}, outputs: {good: Any}}
  gather:
    in: {counts: simulate/count, good: check/good}
    out: [pi]
    run:
      class: CommandLineTool
      baseCommand: 'true'
      inputs: {counts: 'Any[]', good: Any}
      outputs: {pi: Any}
"""
STDOUT = "throwing darts\n"
NEW = Options(reuse=False)


class Pi:
    """The workflow; nothing has happened yet but its submission."""

    def __init__(self, seeds: int = 8, title: str = "pi", options: Options = NEW) -> None:
        self.workflow_id = begun(TEXT, {"seeds": list(range(seeds)), "title": title}, options)
        self.at = f"/ui/workflows/{self.workflow_id}"

    def advance(self) -> "Pi":
        """Everything happens that can happen without pilots."""
        turn(self.workflow_id, 60)
        with session() as db:
            while optimize(db):
                pass
        return self

    def jobs(self, path: str, *slots: int) -> list[int]:
        """The jobs of a step, of these elements if any are named."""
        with reading() as db:
            mine = (Node.workflow_id == self.workflow_id, Node.path == path, Node.job_id.is_not(None))
            query = select(Node.slot, Node.job_id).where(*mine).order_by(Node.slot)
            return [job_id for slot, job_id in db.execute(query) if job_id and (not slots or slot in slots)]

    def run(self, job_ids: Collection[int], stdout: str = STDOUT) -> None:
        """Have a pilot run jobs, which print something."""
        with session() as db:
            for job_id in job_ids:
                claim(db, job_id)
                attempt = db.scalars(select(Job.attempt).where(Job.job_id == job_id)).one()
                move(db, job_id, Change(Status.RUNNING, "Application"), attempt=attempt)
                db.get_one(Attempt, (job_id, attempt)).log = stdout

    def end(self, job_ids: Collection[int], outputs: Any = None, *, error: str = "") -> None:
        """Have jobs that run end: with outputs, or with an error."""
        if error:
            change = Change(Status.FAILED, "Application", error)
        else:
            change = Change(Status.DONE, "Execution Complete", outputs=outputs)
        with session() as db:
            attempts = dict(db.execute(select(Job.job_id, Job.attempt).where(Job.job_id.in_(job_ids))).all())
            finish(db, {one: Report(attempts[one], change) for one in job_ids}, by=a_pilot())
        self.advance()

    def to_the_end(self, pi: Any, count: Any = 3) -> "Pi":
        """Everything goes well."""
        for path, outputs in (
            ("simulate", {"count": count}),
            ("check/look", {"good": True}),
            ("gather", {"pi": pi}),
        ):
            found = self.advance().jobs(path)
            self.run(found)
            self.end(found, outputs)
        return self

    def half_way(self) -> "Pi":
        """Seven of eight simulations are done, one of these had to be tried twice, the last one runs."""
        self.advance()
        self.run(self.jobs("simulate"))
        self.end(self.jobs("simulate", *range(7)), {"count": 3})
        return self
