"""Which pilot had which job, and the status of sites and resources."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

PILOTS = "PilotAgentsDB"
RESOURCES = "ResourceStatusDB"
OUTPUT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
STAMP_LOCKS = 64
PILOT_INDEXES = {
    "PilotStamp": ["PilotStamp"],
    "PilotStatus": ["Status", "LastUpdateTime"],
    "PilotReference": ["PilotJobReference"],
    "PilotPlace": ["GridSite", "DestinationSite", "Status"],
    "PilotQueue": ["DestinationSite", "Queue", "Status"],
    "PilotVO": ["VO", "Status"],
}


def upgrade() -> None:
    _add_indexes("PilotAgents", PILOTS, PILOT_INDEXES)
    _pilots()
    locks = op.create_table(
        "PilotStampLocks",
        sa.Column("Number", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("Number"),
    )
    op.bulk_insert(locks, [{"Number": number} for number in range(STAMP_LOCKS)])
    for subject in ("Site", "Resource"):
        if not _is_there(f"{subject}Status", RESOURCES):
            key = sa.PrimaryKeyConstraint("Name", "StatusType", "VO")
            op.create_table(f"{subject}Status", *_named(), *_said(), key, schema=RESOURCES)
        for kind in ("Log", "History"):
            if not _is_there(f"{subject}{kind}", RESOURCES):
                number = sa.Column("ID", NUMBER, autoincrement=True, nullable=False)
                key = sa.PrimaryKeyConstraint("ID")
                op.create_table(f"{subject}{kind}", number, *_named(), *_said(), key, schema=RESOURCES)


def downgrade() -> None:
    raise NotImplementedError("what is stored would be lost")


def _is_there(table: str, schema: str) -> bool:
    """Whether an installation of DIRAC has made the table."""
    return sa.inspect(op.get_bind()).has_table(table, schema=_name(schema))


def _name(schema: str) -> str | None:
    """What the database is called here; Alembic translates names in CREATE only."""
    names = op.get_bind().get_execution_options().get("schema_translate_map") or {}
    found: str | None = names.get(schema, schema)
    return found


def _add_indexes(table: str, schema: str, wanted: dict[str, list[str]]) -> None:
    """The indexes of these columns, unless there is one of another name: DIRAC's."""
    found = sa.inspect(op.get_bind()).get_indexes(table, schema=_name(schema))
    there = [index["column_names"] for index in found]
    for name, columns in wanted.items():
        if columns not in there:
            op.create_index(name, table, columns, schema=schema)


def _pilots() -> None:
    if not _is_there("JobToPilotMapping", PILOTS):
        op.create_table(
            "JobToPilotMapping",
            sa.Column("PilotID", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column("JobID", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column("StartTime", sa.DateTime(), nullable=False),
            sa.PrimaryKeyConstraint("PilotID", "JobID"),
            schema=PILOTS,
        )
    _add_indexes("JobToPilotMapping", PILOTS, {"PilotsOfJob": ["JobID"]})
    if not _is_there("PilotOutput", PILOTS):
        op.create_table(
            "PilotOutput",
            sa.Column("PilotID", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column("StdOutput", OUTPUT, nullable=False),
            sa.Column("StdError", OUTPUT, nullable=False),
            sa.PrimaryKeyConstraint("PilotID"),
            schema=PILOTS,
        )


def _named() -> list[sa.Column[str]]:
    return [
        sa.Column("Name", sa.String(length=64), nullable=False),
        sa.Column("StatusType", sa.String(length=128), server_default="all", nullable=False),
        sa.Column("VO", sa.String(length=64), server_default="all", nullable=False),
    ]


def _said() -> list[sa.Column[str]]:
    ever, never = "9999-12-31 23:59:59", "1000-01-01 00:00:00"
    found = [
        sa.Column("Status", sa.String(length=8), server_default="", nullable=False),
        sa.Column("Reason", sa.String(length=512), server_default="Unspecified", nullable=False),
        sa.Column("DateEffective", sa.DateTime(), nullable=False),
        sa.Column("TokenExpiration", sa.DateTime(), server_default=ever, nullable=False),
        sa.Column("ElementType", sa.String(length=32), server_default="", nullable=False),
        sa.Column("LastCheckTime", sa.DateTime(), server_default=never, nullable=False),
        sa.Column("TokenOwner", sa.String(length=16), server_default="rs_svc", nullable=False),
    ]
    return found  # type: ignore[return-value]
