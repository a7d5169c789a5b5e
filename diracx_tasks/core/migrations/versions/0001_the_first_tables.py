"""The first tables: ours, and those of DIRAC that are not there yet."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _workflows()
    _jobs()
    _engine()
    _dirac_jobs()
    _dirac_logging()
    _dirac_pilots()
    _dirac_sandboxes()


def downgrade() -> None:
    raise NotImplementedError("the first tables hold everything: drop the databases instead")


def _is_there(table: str, schema: str) -> bool:
    """Whether an installation of DIRAC has made the table."""
    return sa.inspect(op.get_bind()).has_table(table, schema=_name(schema))


def _name(schema: str) -> str | None:
    """What the database is called here; Alembic translates names in CREATE only."""
    names = op.get_bind().get_execution_options().get("schema_translate_map") or {}
    found: str | None = names.get(schema, schema)
    return found


def _workflows() -> None:
    op.create_table(
        "Bundles",
        sa.Column("Hash", sa.String(length=64), nullable=False),
        sa.Column("Data", BLOB, nullable=False),
        sa.Column("CreatedAt", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("Hash"),
    )
    op.create_table(
        "WorkflowEvents",
        sa.Column("EventID", NUMBER, autoincrement=True, nullable=False),
        sa.Column("WorkflowID", NUMBER, nullable=False),
        sa.Column("HappenedAt", TIMESTAMP, nullable=False),
        sa.Column("Path", sa.String(length=255), nullable=False),
        sa.Column("Slot", sa.Integer(), nullable=True),
        sa.Column("Status", sa.String(length=16), nullable=False),
        sa.Column("Message", sa.Text(), nullable=False),
        sa.Column("JobID", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("EventID"),
    )
    op.create_index("EventsOfWorkflow", "WorkflowEvents", ["WorkflowID", "EventID"], unique=False)
    op.create_table(
        "WorkflowNodes",
        sa.Column("NodeID", NUMBER, autoincrement=True, nullable=False),
        sa.Column("WorkflowID", NUMBER, nullable=False),
        sa.Column("ParentID", NUMBER, nullable=False),
        sa.Column("Path", sa.String(length=255), nullable=False),
        sa.Column("Slot", sa.Integer(), nullable=False),
        sa.Column("Kind", sa.String(length=16), nullable=False),
        sa.Column("Status", sa.String(length=16), nullable=False),
        sa.Column("IsDirty", sa.Boolean(), nullable=False),
        sa.Column("JobID", sa.Integer(), nullable=True),
        sa.Column("Total", sa.Integer(), nullable=False),
        sa.Column("SlotCursor", sa.Integer(), nullable=False),
        sa.Column("Dims", sa.JSON(), nullable=True),
        sa.Column("Reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("NodeID"),
        sa.UniqueConstraint("WorkflowID", "ParentID", "Path", "Slot", name="NodePlace"),
    )
    op.create_index("NodeChildren", "WorkflowNodes", ["ParentID", "Status"], unique=False)
    op.create_index("NodeCounts", "WorkflowNodes", ["WorkflowID", "Path", "Kind", "Status"], unique=False)
    op.create_index("NodeDirty", "WorkflowNodes", ["WorkflowID", "IsDirty"], unique=False)
    op.create_index("NodeJob", "WorkflowNodes", ["JobID"], unique=False)
    op.create_table(
        "WorkflowValues",
        sa.Column("NodeID", NUMBER, autoincrement=False, nullable=False),
        sa.Column("Inputs", BLOB, nullable=True),
        sa.Column("Outputs", BLOB, nullable=True),
        sa.PrimaryKeyConstraint("NodeID"),
    )
    op.create_table(
        "Workflows",
        sa.Column("WorkflowID", NUMBER, autoincrement=True, nullable=False),
        sa.Column("VO", sa.String(length=32), nullable=False),
        sa.Column("Owner", sa.String(length=64), nullable=False),
        sa.Column("OwnerGroup", sa.String(length=128), nullable=False),
        sa.Column("Name", sa.String(length=128), nullable=False),
        sa.Column("Bundle", sa.String(length=64), nullable=False),
        sa.Column("Entrypoint", sa.String(length=255), nullable=False),
        sa.Column("Status", sa.String(length=32), nullable=False),
        sa.Column("Reason", sa.Text(), nullable=False),
        sa.Column("SubmittedAt", TIMESTAMP, nullable=False),
        sa.Column("EndedAt", TIMESTAMP, nullable=True),
        sa.Column("Version", NUMBER, nullable=False),
        sa.Column("Graph", BLOB, nullable=False),
        sa.Column("Outputs", BLOB, nullable=True),
        sa.Column(
            "IdempotencyKey",
            sa.String(length=128)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=128), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=128), "mysql"),
            nullable=True,
        ),
        sa.Column("Fingerprint", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("WorkflowID"),
        sa.UniqueConstraint("VO", "Owner", "IdempotencyKey", name="SubmittedOnce"),
    )
    op.create_index("WorkflowsOfVO", "Workflows", ["VO", "WorkflowID"], unique=False)


def _jobs() -> None:
    op.create_table(
        "EndedJobs",
        sa.Column("JobID", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("OwnerTask", sa.String(length=64), nullable=False),
        sa.Column("OwnerID", NUMBER, nullable=False),
        sa.Column("Status", sa.String(length=32), nullable=False),
        sa.Column("Reason", sa.Text(), nullable=False),
        sa.Column("Outputs", BLOB, nullable=True),
        sa.PrimaryKeyConstraint("JobID"),
    )
    op.create_index("EndedOwner", "EndedJobs", ["OwnerTask", "OwnerID", "JobID"], unique=False)
    op.create_table(
        "JobAttempts",
        sa.Column("JobID", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("Attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("PilotStamp", sa.String(length=64), nullable=False),
        sa.Column("Site", sa.String(length=100), nullable=False),
        sa.Column("StartedAt", TIMESTAMP, nullable=False),
        sa.Column("EndedAt", TIMESTAMP, nullable=True),
        sa.Column("Status", sa.String(length=32), nullable=False),
        sa.Column("Reason", sa.String(length=255), nullable=False),
        sa.Column("Usage", sa.JSON(), nullable=True),
        sa.Column("Log", LONG_TEXT, nullable=True),
        sa.Column("LogAt", TIMESTAMP, nullable=True),
        sa.PrimaryKeyConstraint("JobID", "Attempt"),
    )
    op.create_index(op.f("ix_JobAttempts_PilotStamp"), "JobAttempts", ["PilotStamp"], unique=False)
    op.create_table(
        "JobClasses",
        sa.Column("ClassID", sa.String(length=32), nullable=False),
        sa.Column("VO", sa.String(length=32), nullable=False),
        sa.Column("Requirements", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("ClassID"),
    )
    op.create_table(
        "JobOutputs",
        sa.Column("JobID", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("Attempt", sa.Integer(), nullable=False),
        sa.Column("Outputs", BLOB, nullable=False),
        sa.PrimaryKeyConstraint("JobID"),
    )
    op.create_table(
        "JobPayloads",
        sa.Column("JobID", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("Payload", BLOB, nullable=False),
        sa.Column("Requirements", sa.JSON(), nullable=False),
        sa.Column("OwnerTask", sa.String(length=64), nullable=True),
        sa.Column("OwnerID", NUMBER, nullable=True),
        sa.PrimaryKeyConstraint("JobID"),
    )
    op.create_table(
        "MatchQueue",
        sa.Column("JobID", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("VO", sa.String(length=32), nullable=False),
        sa.Column("ClassID", sa.String(length=32), nullable=False),
        sa.Column("Place", sa.Double(), nullable=False),
        sa.Column("QueuedAt", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("JobID"),
    )
    op.create_index("QueueClass", "MatchQueue", ["ClassID", "Place"], unique=False)
    op.create_index("QueueOrder", "MatchQueue", ["VO", "JobID"], unique=False)


def _engine() -> None:
    op.create_table(
        "Outbox",
        sa.Column("TaskKey", sa.String(length=128), nullable=False),
        sa.Column("Task", sa.String(length=128), nullable=False),
        sa.Column("Arguments", sa.JSON(), nullable=False),
        sa.Column("Asked", sa.Integer(), nullable=False),
        sa.Column("Published", sa.Integer(), nullable=False),
        sa.Column("CreatedAt", TIMESTAMP, nullable=False),
        sa.Column("DueAt", TIMESTAMP, nullable=False),
        sa.Column("IsDead", sa.Boolean(), nullable=False),
        sa.Column("Error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("TaskKey"),
    )
    op.create_index("OutboxDue", "Outbox", ["IsDead", "DueAt"], unique=False)
    op.create_table(
        "PeriodicRuns",
        sa.Column("Task", sa.String(length=128), nullable=False),
        sa.Column("StartedAt", TIMESTAMP, nullable=False),
        sa.Column("EndedAt", TIMESTAMP, nullable=True),
        sa.Column("Outcome", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("Task"),
    )


def _dirac_jobs() -> None:
    if not _is_there("JobJDLs", "JobDB"):
        op.create_table(
            "JobJDLs",
            sa.Column("JobID", sa.Integer(), autoincrement=True, nullable=False),
            sa.Column("JDL", LONG_TEXT, nullable=False),
            sa.Column("JobRequirements", LONG_TEXT, nullable=False),
            sa.Column("OriginalJDL", LONG_TEXT, nullable=False),
            sa.PrimaryKeyConstraint("JobID"),
            schema="JobDB",
        )
    if _is_there("Jobs", "JobDB"):
        _add_to_jobs()
    else:
        op.create_table(
            "Jobs",
            sa.Column("JobID", sa.Integer(), nullable=False),
            sa.Column("JobType", sa.String(length=32), nullable=False),
            sa.Column("JobGroup", sa.String(length=32), nullable=False),
            sa.Column("Site", sa.String(length=100), nullable=False),
            sa.Column("JobName", sa.String(length=128), nullable=False),
            sa.Column("Owner", sa.String(length=64), nullable=False),
            sa.Column("OwnerGroup", sa.String(length=128), nullable=False),
            sa.Column("VO", sa.String(length=32), nullable=False),
            sa.Column("SubmissionTime", sa.DateTime(), nullable=True),
            sa.Column("RescheduleTime", sa.DateTime(), nullable=True),
            sa.Column("LastUpdateTime", sa.DateTime(), nullable=True),
            sa.Column("StartExecTime", sa.DateTime(), nullable=True),
            sa.Column("HeartBeatTime", sa.DateTime(), nullable=True),
            sa.Column("EndExecTime", sa.DateTime(), nullable=True),
            sa.Column("Status", sa.String(length=32), nullable=False),
            sa.Column("MinorStatus", sa.String(length=128), nullable=False),
            sa.Column("ApplicationStatus", sa.String(length=255), nullable=False),
            sa.Column("UserPriority", sa.Integer(), nullable=False),
            sa.Column("RescheduleCounter", sa.Integer(), nullable=False),
            sa.Column("VerifiedFlag", sa.Enum("True", "False", name="flag"), nullable=False),
            sa.Column("AccountedFlag", sa.Enum("True", "False", "Failed", name="accounted"), nullable=False),
            sa.Column("Attempt", sa.Integer(), server_default="0", nullable=False),
            sa.Column("NextCheckAt", TIMESTAMP, nullable=True),
            sa.ForeignKeyConstraint(["JobID"], ["JobDB.JobJDLs.JobID"], ondelete="CASCADE"),
            sa.PrimaryKeyConstraint("JobID"),
            schema="JobDB",
        )
        op.create_index("JobGroup", "Jobs", ["JobGroup"], unique=False, schema="JobDB")
        op.create_index("LastUpdateTime", "Jobs", ["LastUpdateTime"], unique=False, schema="JobDB")
        op.create_index("NextCheckAt", "Jobs", ["NextCheckAt"], unique=False, schema="JobDB")
        op.create_index("Owner", "Jobs", ["Owner"], unique=False, schema="JobDB")
        op.create_index("Status", "Jobs", ["Status"], unique=False, schema="JobDB")


def _dirac_logging() -> None:
    if not _is_there("LoggingInfo", "JobLoggingDB"):
        op.create_table(
            "LoggingInfo",
            sa.Column("JobID", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column("SeqNum", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column("Status", sa.String(length=32), nullable=False),
            sa.Column("MinorStatus", sa.String(length=128), nullable=False),
            sa.Column("ApplicationStatus", sa.String(length=255), nullable=False),
            sa.Column("StatusTime", sa.DateTime(), nullable=False),
            sa.Column("StatusTimeOrder", sa.Numeric(precision=12, scale=3), nullable=False),
            sa.Column("StatusSource", sa.String(length=32), nullable=False),
            sa.PrimaryKeyConstraint("JobID", "SeqNum"),
            schema="JobLoggingDB",
        )


def _dirac_pilots() -> None:
    if not _is_there("PilotAgents", "PilotAgentsDB"):
        op.create_table(
            "PilotAgents",
            sa.Column("PilotID", sa.Integer(), autoincrement=True, nullable=False),
            sa.Column("InitialJobID", sa.Integer(), nullable=False),
            sa.Column("CurrentJobID", sa.Integer(), nullable=False),
            sa.Column("PilotJobReference", sa.String(length=255), nullable=False),
            sa.Column("PilotStamp", sa.String(length=32), nullable=False),
            sa.Column("DestinationSite", sa.String(length=128), nullable=False),
            sa.Column("Queue", sa.String(length=128), nullable=False),
            sa.Column("GridSite", sa.String(length=128), nullable=False),
            sa.Column("VO", sa.String(length=128), nullable=False),
            sa.Column("GridType", sa.String(length=32), nullable=False),
            sa.Column("BenchMark", sa.Double(), nullable=False),
            sa.Column("SubmissionTime", sa.DateTime(), nullable=True),
            sa.Column("LastUpdateTime", sa.DateTime(), nullable=True),
            sa.Column("Status", sa.String(length=32), nullable=False),
            sa.Column("StatusReason", sa.String(length=255), nullable=False),
            sa.Column("AccountingSent", sa.Enum("True", "False", name="pilot_accounted"), nullable=False),
            sa.PrimaryKeyConstraint("PilotID"),
            schema="PilotAgentsDB",
        )
        op.create_index("PilotStamp", "PilotAgents", ["PilotStamp"], unique=False, schema="PilotAgentsDB")
        op.create_index(
            "PilotStatus", "PilotAgents", ["Status", "LastUpdateTime"], unique=False, schema="PilotAgentsDB"
        )


def _dirac_sandboxes() -> None:
    if not _is_there("sb_Owners", "SandboxMetadataDB"):
        op.create_table(
            "sb_Owners",
            sa.Column("OwnerID", sa.Integer(), autoincrement=True, nullable=False),
            sa.Column("Owner", sa.String(length=32), nullable=False),
            sa.Column("OwnerGroup", sa.String(length=32), nullable=False),
            sa.Column("VO", sa.String(length=64), nullable=False),
            sa.PrimaryKeyConstraint("OwnerID"),
            sa.UniqueConstraint("Owner", "OwnerGroup", "VO", name="unique_owner"),
            schema="SandboxMetadataDB",
        )
    if not _is_there("sb_SandBoxes", "SandboxMetadataDB"):
        op.create_table(
            "sb_SandBoxes",
            sa.Column("SBId", sa.Integer(), autoincrement=True, nullable=False),
            sa.Column("OwnerId", sa.Integer(), nullable=False),
            sa.Column("SEName", sa.String(length=64), nullable=False),
            sa.Column("SEPFN", sa.String(length=512), nullable=False),
            sa.Column("Bytes", sa.BigInteger(), nullable=False),
            sa.Column("RegistrationTime", sa.DateTime(), nullable=False),
            sa.Column("LastAccessTime", sa.DateTime(), nullable=False),
            sa.Column("Assigned", sa.Boolean(), nullable=False),
            sa.ForeignKeyConstraint(
                ["OwnerId"],
                ["SandboxMetadataDB.sb_Owners.OwnerID"],
            ),
            sa.PrimaryKeyConstraint("SBId"),
            sa.UniqueConstraint("SEName", "SEPFN", name="Location"),
            schema="SandboxMetadataDB",
        )
        op.create_index(
            "SandboxCleaning",
            "sb_SandBoxes",
            ["Assigned", "LastAccessTime"],
            unique=False,
            schema="SandboxMetadataDB",
        )
    if not _is_there("sb_EntityMapping", "SandboxMetadataDB"):
        op.create_table(
            "sb_EntityMapping",
            sa.Column("SBId", sa.Integer(), nullable=False),
            sa.Column("EntityId", sa.String(length=128), nullable=False),
            sa.Column("Type", sa.String(length=64), nullable=False),
            sa.ForeignKeyConstraint(
                ["SBId"],
                ["SandboxMetadataDB.sb_SandBoxes.SBId"],
            ),
            sa.PrimaryKeyConstraint("SBId", "EntityId", "Type"),
            schema="SandboxMetadataDB",
        )
        op.create_index("Entity", "sb_EntityMapping", ["EntityId"], unique=False, schema="SandboxMetadataDB")


def _add_to_jobs() -> None:
    """What DIRAC's own table of jobs lacks."""
    attempt = sa.Column("Attempt", sa.Integer(), server_default="0", nullable=False)
    op.add_column("Jobs", attempt, schema=_name("JobDB"))
    op.add_column("Jobs", sa.Column("NextCheckAt", TIMESTAMP, nullable=True), schema=_name("JobDB"))
    op.create_index("NextCheckAt", "Jobs", ["NextCheckAt"], schema=_name("JobDB"))
