"""What is stored of workflows: documents, process instances, their values, and what happened."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from diracx_tasks.core.database import Blob, Table, Timestamp

# Keys and paths that differ in case only are different ones.
Exact = String(128).with_variant(mysql.VARCHAR(128, collation="utf8mb4_bin"), "mysql", "mariadb")
Path = String(255).with_variant(mysql.VARCHAR(255, collation="utf8mb4_bin"), "mysql", "mariadb")
Number = BigInteger().with_variant(Integer(), "sqlite")


class StoredBundle(Table):
    """A workflow's original files under the hash of their content."""

    __tablename__ = "Bundles"

    hash: Mapped[str] = mapped_column("Hash", String(64), primary_key=True)
    data: Mapped[bytes] = mapped_column("Data", Blob)
    created_at: Mapped[datetime] = mapped_column("CreatedAt", Timestamp)


class BundleUse(Table):
    """A VO's jobs that are no workflow's may read a bundle."""

    __tablename__ = "BundleUse"

    hash: Mapped[str] = mapped_column("Hash", String(64), primary_key=True)
    vo: Mapped[str] = mapped_column("VO", String(32), primary_key=True)


class Collection(Table):
    """A long array of a workflow, stored in chunks."""

    __tablename__ = "WorkflowCollections"
    __table_args__ = (Index("CollectionsOfWorkflow", "WorkflowID"),)

    collection_id: Mapped[int] = mapped_column("CollectionID", Number, primary_key=True, autoincrement=True)
    workflow_id: Mapped[int] = mapped_column("WorkflowID", Number)
    length: Mapped[int] = mapped_column("Length", Integer)


class Chunk(Table):
    """Elements of a collection."""

    __tablename__ = "WorkflowChunks"

    collection_id: Mapped[int] = mapped_column("CollectionID", Number, primary_key=True, autoincrement=False)
    chunk: Mapped[int] = mapped_column("Chunk", Integer, primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column("Data", Blob)


class Workflow(Table):
    """One submitted workflow."""

    __tablename__ = "Workflows"
    __table_args__ = (
        UniqueConstraint("VO", "Owner", "IdempotencyKey", name="SubmittedOnce"),
        Index("WorkflowsOfVO", "VO", "WorkflowID"),
        Index("WorkflowsByStatus", "Status", "WorkflowID"),
        Index("WorkflowsByAge", "VO", "Status", "EndedAt"),
    )

    workflow_id: Mapped[int] = mapped_column("WorkflowID", Number, primary_key=True, autoincrement=True)
    vo: Mapped[str] = mapped_column("VO", String(32))
    owner: Mapped[str] = mapped_column("Owner", String(64))
    group: Mapped[str] = mapped_column("OwnerGroup", String(128))
    name: Mapped[str] = mapped_column("Name", String(128))
    bundle: Mapped[str] = mapped_column("Bundle", String(64))
    entrypoint: Mapped[str] = mapped_column("Entrypoint", String(255))
    status: Mapped[str] = mapped_column("Status", String(32))
    reason: Mapped[str] = mapped_column("Reason", Text, default="")
    submitted_at: Mapped[datetime] = mapped_column("SubmittedAt", Timestamp)
    ended_at: Mapped[datetime | None] = mapped_column("EndedAt", Timestamp)
    # Counted up by every change of its nodes: of two workers that advance it, one starts over.
    version: Mapped[int] = mapped_column("Version", Number, default=0)
    graph: Mapped[bytes] = mapped_column("Graph", Blob)
    outputs: Mapped[bytes | None] = mapped_column("Outputs", Blob)
    idempotency_key: Mapped[str | None] = mapped_column("IdempotencyKey", Exact)
    # Of everything that was submitted under the key.
    fingerprint: Mapped[str] = mapped_column("Fingerprint", String(64))
    # What happens after a step has failed: stop, or continue with what does not need it.
    on_error: Mapped[str] = mapped_column("OnError", String(8), default="stop")
    # Whether a node of it has failed or was killed while the workflow went on.
    is_broken: Mapped[bool] = mapped_column("IsBroken", default=False)
    # What it becomes after Killing: Failed when it was given up.
    ends_as: Mapped[str] = mapped_column("EndsAs", String(32), default="Killed")
    reuses: Mapped[bool] = mapped_column("Reuses", default=True)
    # How often a tool is tried that fails temporarily.
    max_tries: Mapped[int] = mapped_column("MaxTries", Integer, default=3)
    tags: Mapped[bytes | None] = mapped_column("Tags", Blob)

    @property
    def stops(self) -> bool:
        """Whether nothing new begins, because something has failed."""
        return self.is_broken and self.on_error == "stop"


class Node(Table):
    """One process instance: a workflow, a scatter, a tool's job or an expression, at its place in the tree.

    A step's instance has slot 0, a scatter's instances are numbered from 0; the root's parent is 0.
    """

    __tablename__ = "WorkflowNodes"
    __table_args__ = (
        UniqueConstraint("WorkflowID", "ParentID", "Path", "Slot", name="NodePlace"),
        Index("NodeDirty", "WorkflowID", "IsDirty"),
        Index("NodeCounts", "WorkflowID", "Path", "Kind", "Status", "ReusedFrom"),
        Index("NodeChildren", "ParentID", "Status"),
        Index("NodesByStatus", "WorkflowID", "Status"),
        Index("NodeJob", "JobID"),
        Index("NodeReuse", "ReuseKey"),
        Index("NodeRetry", "WorkflowID", "RetryAt"),
    )

    node_id: Mapped[int] = mapped_column("NodeID", Number, primary_key=True, autoincrement=True)
    workflow_id: Mapped[int] = mapped_column("WorkflowID", Number)
    parent_id: Mapped[int] = mapped_column("ParentID", Number)
    path: Mapped[str] = mapped_column("Path", Path)
    slot: Mapped[int] = mapped_column("Slot", Integer, default=0)
    kind: Mapped[str] = mapped_column("Kind", String(16))
    status: Mapped[str] = mapped_column("Status", String(16))
    # Whether `advance` must look at it.
    is_dirty: Mapped[bool] = mapped_column("IsDirty", default=False)
    job_id: Mapped[int | None] = mapped_column("JobID", Integer)
    # Of a scatter: how many slots there are, how many have been made, the lengths of its arrays.
    total: Mapped[int] = mapped_column("Total", Integer, default=0)
    cursor: Mapped[int] = mapped_column("SlotCursor", Integer, default=0)
    dims: Mapped[list[int] | None] = mapped_column("Dims", JSON)
    reason: Mapped[str | None] = mapped_column("Reason", Text)
    # Of a scatter: how many of its slots are over, and how many of these went wrong or were skipped.
    ended: Mapped[int] = mapped_column("Ended", Integer, default=0)
    bad: Mapped[int] = mapped_column("Bad", Integer, default=0)
    skipped: Mapped[int] = mapped_column("Skipped", Integer, default=0)
    # Of a tool: which try this is, how many there may be, when the next one begins, what its result is known
    # by, and whose result it has taken.
    tries: Mapped[int] = mapped_column("Tries", Integer, default=1)
    max_tries: Mapped[int | None] = mapped_column("MaxTries", Integer)
    retry_at: Mapped[datetime | None] = mapped_column("RetryAt", Timestamp)
    reuse_key: Mapped[str | None] = mapped_column("ReuseKey", String(32))
    reused_from: Mapped[int | None] = mapped_column("ReusedFrom", Number)


class NodeValues(Table):
    """Inputs and outputs of a node, apart from the rows that are read often."""

    __tablename__ = "WorkflowValues"

    node_id: Mapped[int] = mapped_column("NodeID", Number, primary_key=True, autoincrement=False)
    inputs: Mapped[bytes | None] = mapped_column("Inputs", Blob)
    outputs: Mapped[bytes | None] = mapped_column("Outputs", Blob)


class WorkflowEvent(Table):
    """Something that happened to a workflow, as its owner reads it."""

    __tablename__ = "WorkflowEvents"
    __table_args__ = (Index("EventsOfWorkflow", "WorkflowID", "EventID"),)

    event_id: Mapped[int] = mapped_column("EventID", Number, primary_key=True, autoincrement=True)
    workflow_id: Mapped[int] = mapped_column("WorkflowID", Number)
    at: Mapped[datetime] = mapped_column("HappenedAt", Timestamp)
    path: Mapped[str] = mapped_column("Path", Path, default="")
    slot: Mapped[int | None] = mapped_column("Slot", Integer)
    status: Mapped[str] = mapped_column("Status", String(16))
    message: Mapped[str] = mapped_column("Message", Text, default="")
    job_id: Mapped[int | None] = mapped_column("JobID", Integer)
