"""What jobs used, and how many were in which state, as the API tells it."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel

from diracx_api.models.fields import LARGEST, stated


class UsageDimension(StrEnum):
    """What attempts may be grouped by."""

    SITE = "site"
    OWNER = "owner"
    GROUP = "group"
    JOB_TYPE = "job_type"
    STATUS = "status"
    CE = "ce"
    WORKFLOW = "workflow_id"


class StateDimension(StrEnum):
    """What jobs in snapshots may be grouped by."""

    SITE = "site"
    OWNER = "owner"
    GROUP = "group"
    JOB_TYPE = "job_type"
    STATUS = "status"
    MINOR_STATUS = "minor_status"


class UsageBucket(StrEnum):
    """How time is cut."""

    HOUR = "hour"
    DAY = "day"


class UsageMeasure(StrEnum):
    """What a plot shows."""

    CORE = "core_seconds"
    CPU = "cpu_seconds"
    WALL = "wall_seconds"
    ATTEMPTS = "attempts"


class Asked(BaseModel):
    """Which time, and which jobs; what is not stated does not matter."""

    since: datetime | None = stated(
        "From when on, UTC where no zone is stated; usage counts whole hours.",
        "2026-11-16T00:00:00Z",
        default=None,
        alias="from",
    )
    until: datetime | None = stated(
        "Until when; now when it is not stated.", "2026-11-23T00:00:00Z", default=None, alias="to"
    )
    site: str | None = stated("Only this site.", "LCG.CERN.ch", default=None, max_length=100)
    owner: str | None = stated("Only this owner.", "alice", default=None, max_length=64)
    group: str | None = stated("Only this group of owners.", "lhcb_user", default=None, max_length=128)
    job_type: str | None = stated("Only this type of jobs.", "User", default=None, max_length=32)
    status: str | None = stated("Only this status.", "Done", default=None, max_length=32)


class UsageAsked(Asked):
    """What is asked of attempts."""

    by: list[UsageDimension] = stated(
        "What attempts are grouped by; `ce` and `workflow_id` for at most 31 days.",
        ["site"],
        default=[],
        max_length=7,
    )
    bucket: UsageBucket | None = stated("How time is cut; one period otherwise.", "day", default=None)
    workflow_id: int | None = stated(
        "Only attempts of this workflow; for at most 31 days.", 42, default=None, ge=1, le=LARGEST
    )


class PlotAsked(UsageAsked):
    """What is asked of a plot of attempts."""

    measure: UsageMeasure = stated("What is shown.", "core_seconds", default=UsageMeasure.CORE)


class StatesAsked(Asked):
    """What is asked of snapshots."""

    by: list[StateDimension] = stated(
        "What jobs are grouped by.", ["status"], default=[StateDimension.STATUS], max_length=6
    )


class Usage(BaseModel):
    """What attempts used that are alike; means are of those whose pilot has told."""

    at: str | None = stated(
        "Start of the hour or day in which they ended; null: of the whole period.",
        "2026-11-23T10:00:00.000000Z",
    )
    of: dict[str, str | int] = stated("What is the same of them.", {"site": "LCG.CERN.ch"})
    attempts: int = stated("How many ended.", 3141)
    measured: int = stated("How many have told what they used.", 3100)
    cpu_seconds: float = stated("CPU time of those that have told, in s.", 5.2e6)
    wall_seconds: float = stated("Wall time of all, in s.", 6.1e6)
    core_seconds: float = stated("Wall time times the cores that were asked for, in s.", 6.1e6)
    cpu_share: float | None = stated("CPU time over core time; null: nobody has told.", 0.85)
    memory_mb: float | None = stated("Mean of their peaks of memory, in MB of 1024 * 1024 bytes.", 1830.5)
    disk_mb: float | None = stated("Mean of their largest folders, in MB.", 412.0)


class JobsInState(BaseModel):
    """So many jobs were alike at a time; of ended ones, those that ended since the snapshot before."""

    at: str = stated("The time of the snapshot.", "2026-11-23T10:05:00.000000Z")
    of: dict[str, str] = stated("What is the same of them.", {"status": "Running"})
    jobs: int = stated("How many.", 2718)
