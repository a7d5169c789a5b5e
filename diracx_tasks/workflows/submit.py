"""Entry of workflows: checked, then stored with everything they need, in one transaction."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import reading, utc_now
from diracx_tasks.core.errors import Conflict
from diracx_tasks.core.packed import packed
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.values import locations
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.sandboxes import metadata
from diracx_tasks.storage import read as storage
from diracx_tasks.storage.names import is_lfn
from diracx_tasks.workflows import collections, isolate, precheck
from diracx_tasks.workflows.contents import files_of
from diracx_tasks.workflows.events import tell
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Node, NodeValues, StoredBundle, Workflow


class Options(NamedTuple):
    """How a workflow is to be run.

    `on_error`: after a failure `stop`, or `continue` with what does not need it. `reuse`: take results of
    earlier jobs that would give the same. `retries`: how often a tool that failed temporarily is tried again.
    """

    on_error: str = "stop"
    reuse: bool = True
    retries: int = 2


DEFAULTS = Options()


@dataclass(frozen=True)
class Request:
    """What a user submits; `inputs` is a mapping or YAML text, `key` makes a repetition harmless.

    `tags` are kept for who submits.
    """

    bundle: Bundle
    inputs: dict[str, Any] | str
    name: str = ""
    key: str | None = None
    options: Options = DEFAULTS
    tags: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of all but the key, in hex."""
        asked = [self.bundle.hash, self.name, self.inputs, self.options, self.tags]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def check(bundle: Bundle, inputs: dict[str, Any] | str | None, *, by: User) -> dict[str, Any]:
    """`{"graph", "start"}`, or the graph alone without inputs.

    Raises InvalidCwl with places, Forbidden for files that are not the user's.
    """
    owner = metadata.Owner.of(by)
    contents = files_of(owner)
    found = isolate.check(bundle, inputs, contents)
    if inputs is not None:
        metadata.refuse_foreign(list(locations(found["start"]["inputs"])), owner)
    precheck.look_up(found, by.vo)
    if inputs is None or not any(is_lfn(one) for one in locations(found["start"]["inputs"])):
        return found
    with reading() as db:
        whole, _ = storage.complete(db, by.vo, found["start"]["inputs"])
    # Again, with the sizes and checksums that expressions may ask for.
    again = isolate.check(bundle.extended(found["added"]), whole, contents)
    return {**again, "warnings": found["warnings"], "added": found["added"]}


def earlier(db: Session, request: Request, *, by: User) -> Workflow | None:
    """What the user submitted under this idempotency key before; Conflict when that was something else."""
    if not request.key:
        return None
    found = db.scalar(
        select(Workflow).where(
            Workflow.vo == by.vo, Workflow.owner == by.name, Workflow.idempotency_key == request.key
        )
    )
    if found and found.fingerprint != request.fingerprint:
        words = f"the idempotency key {request.key!r} was used for workflow {found.workflow_id}"
        raise Conflict(f"{words}, another document or other inputs")
    return found


def submit(db: Session, request: Request, checked: dict[str, Any], *, by: User) -> Workflow:
    """Store a checked workflow and have it advanced; the same key a second time gives the first workflow."""
    if found := earlier(db, request, by=by):
        return found
    bundle = request.bundle.extended(checked["added"])
    if db.get(StoredBundle, bundle.hash) is None:
        store_bundle(db, bundle)
    workflow = _row(request, bundle, checked, by)
    try:
        with db.begin_nested():
            db.add(workflow)
    except IntegrityError:
        # The same request twice at once: the other one has just won.
        if found := earlier(db, request, by=by):
            return found
        raise
    _plant(db, workflow.workflow_id, checked["start"])
    used = [place for place in locations(checked["start"]["inputs"]) if metadata.is_stored(place)]
    metadata.assign(db, f"Workflow:{workflow.workflow_id}", used, "Input")
    tell(db, workflow.workflow_id, Status.RECEIVED, f"submitted by {by.name}")
    ask_to_advance(db, workflow.workflow_id)
    return workflow


def _row(request: Request, bundle: Bundle, checked: dict[str, Any], by: User) -> Workflow:
    return Workflow(
        vo=by.vo,
        owner=by.name,
        group=by.group,
        name=(request.name or request.bundle.entrypoint)[:128],
        bundle=bundle.hash,
        entrypoint=bundle.entrypoint,
        status=Status.RECEIVED,
        submitted_at=utc_now(),
        graph=packed(checked["graph"]),
        idempotency_key=request.key,
        fingerprint=request.fingerprint,
        on_error=request.options.on_error,
        reuses=request.options.reuse,
        max_tries=request.options.retries + 1,
        tags=packed(request.tags) if request.tags else None,
    )


def keys_of(workflow_id: int) -> tuple[str, str]:
    """The keys of the task that advances a workflow: at once, and later."""
    return f"workflow-{workflow_id}.advance", f"workflow-{workflow_id}.retry"


def ask_to_advance(db: Session, workflow_id: int, delay: float = 0) -> None:
    """Have a workflow looked at after this transaction, or `delay` seconds later."""
    now, later = keys_of(workflow_id)
    enqueue(db, "workflows.advance", later if delay else now, delay=delay, workflow_id=workflow_id)


def _plant(db: Session, workflow_id: int, start: dict[str, Any]) -> None:
    """The root node; a root that is one tool becomes a job when the workflow is first advanced."""
    root = Node(
        workflow_id=workflow_id,
        parent_id=0,
        path="",
        kind=start["kind"],
        status=Status.RUNNING,
        is_dirty=True,
    )
    db.add(root)
    db.flush()
    inputs = collections.put_away(db, workflow_id, start["inputs"])
    db.add(NodeValues(node_id=root.node_id, inputs=packed({"inputs": inputs})))


def store_bundle(db: Session, bundle: Bundle) -> None:
    """Store a bundle unless it is there."""
    try:
        with db.begin_nested():
            db.add(StoredBundle(hash=bundle.hash, data=packed(bundle.to_json()), created_at=utc_now()))
    except IntegrityError:
        # Somebody else has just stored the same content.
        return
