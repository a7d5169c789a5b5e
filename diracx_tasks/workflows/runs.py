"""Workflows for a standard's lists of runs: pages of them, their tags, how many there are of each kind."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core import search as core
from diracx_tasks.core.order import cursor_of
from diracx_tasks.core.packed import unpacked
from diracx_tasks.jobs import search as jobs
from diracx_tasks.jobs.states import BEFORE
from diracx_tasks.workflows.look import bundle
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Workflow

# How a workflow's reason begins to tell that its tools were not to blame: minor statuses of its jobs.
OF_THE_SYSTEM = (
    "Failed Downloading InputSandbox",
    "InputData optimizer",
    "JobScheduling optimizer",
    "Maximum of reschedulings reached",
    "Uploading Output Data",
)
VERSION = re.compile(rb"^[\s{]*[\"']?cwlVersion[\"']?\s*:\s*[\"']?(v[\w.\-]+)", re.MULTILINE)
# Nothing comes before it: a search from there counts no rows.
BEGINNING = cursor_of("[0]")


class Tally(NamedTuple):
    """So many workflows have a status; of failed ones, whether tools were to blame or the system."""

    status: Status
    is_of_the_system: bool
    number: int


def newest(db: Session, *, by: User, limit: int, before: int | None) -> Sequence[Workflow]:
    """The VO's newest workflows with numbers below `before`."""
    query = select(Workflow).where(Workflow.vo == by.vo).order_by(Workflow.workflow_id.desc()).limit(limit)
    if before is not None:
        query = query.where(Workflow.workflow_id < before)
    return db.scalars(query).all()


def is_of_the_system(workflow: Workflow) -> bool:
    """Whether it failed for another reason than its documents and tools."""
    return any(words in (workflow.reason or "") for words in OF_THE_SYSTEM)


def has_begun(db: Session, workflow: Workflow, *, by: User) -> bool:
    """Whether a pilot has ever taken one of its jobs that somebody may see."""
    statuses = [str(status) for status in BEFORE]
    conditions = [in_group(workflow), {"parameter": "Status", "operator": "not in", "values": statuses}]
    found = jobs.search(db, core.Query(["JobID"], conditions, per_page=1, cursor=BEGINNING), by=by)
    return bool(found.rows)


def in_group(workflow: Workflow) -> dict[str, Any]:
    """The condition of a search for its jobs."""
    return {"parameter": "JobGroup", "operator": "eq", "value": f"{workflow.workflow_id:08d}"}


def tags_of(workflow: Workflow) -> dict[str, Any]:
    """What the user has tagged it with when it was submitted."""
    return dict(unpacked(workflow.tags)) if workflow.tags else {}


def version_of(db: Session, workflow: Workflow) -> str:
    """The CWL version that its main document states."""
    stored = bundle(db, workflow.bundle)
    found = VERSION.search(stored.files[stored.entrypoint.partition("#")[0]])
    return found[1].decode() if found else "v1.2"


def tally(db: Session) -> list[Tally]:
    """How many workflows there are of each kind, over all VOs."""
    blamed = or_(*(Workflow.reason.contains(words) for words in OF_THE_SYSTEM))
    is_systems = case(((Workflow.status == Status.FAILED) & blamed, 1), else_=0)
    query = select(Workflow.status, is_systems, func.count()).group_by(Workflow.status, is_systems)
    return [Tally(Status(status), bool(systems), count) for status, systems, count in db.execute(query)]
