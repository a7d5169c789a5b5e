"""What goes in and comes out of the jobs' routes; job attributes have DIRAC's names."""

import time
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal

from fastapi import Body
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from diracx_api.models.fields import LARGEST, stated
from diracx_tasks.jobs.states import Status

MOST = 2**31 - 1
# How many jobs one call may name.
JOBS = 10_000
LONGEST = 65_536
# How many parameters one call may set of a job.
PARAMETERS = 1000
# No attempt uses more seconds or MB; also a number that is none is refused with this.
MOST_USED = 1e12
# DIRAC's clock of events begins in 2010; clocks may go wrong by a day.
EARLIEST = 2011
AHEAD = 86400
JobNumber = Annotated[int, Field(ge=0, le=LARGEST)]
TIME = "2026-11-23T10:00:00.123456Z"


class Heartbeat(BaseModel):
    """What a pilot measures of its payload."""

    model_config = ConfigDict(extra="forbid")

    Attempt: int | None = stated(
        "For pilots: the attempt that they hold; the current one by default.", 1, default=None, ge=1, le=MOST
    )
    LoadAverage: float | None = stated("Load of the node.", 1.5, default=None, allow_inf_nan=False)
    MemoryUsed: float | None = stated("Resident memory in MB.", 512.0, default=None, allow_inf_nan=False)
    Vsize: float | None = stated("Virtual memory in MB.", 900.0, default=None, allow_inf_nan=False)
    AvailableDiskSpace: float | None = stated("Free disk in MB.", 20000.0, default=None, allow_inf_nan=False)
    CPUConsumed: float | None = stated("CPU time in s.", 12.5, default=None, allow_inf_nan=False)
    WallClockTime: float | None = stated(
        "Time since the start in s.", 13.0, default=None, allow_inf_nan=False
    )
    StandardOutput: str | None = stated(
        "The tail of the output.", "event 1000", default=None, max_length=131072
    )


class Command(BaseModel):
    """Something that a pilot is to do."""

    job_id: int = stated("The job concerned.", 17)
    command: str = stated("What to do: Kill, or Follow: somebody reads the output, send it often.", "Kill")
    arguments: str = stated("Further words.", "", default="")


def _possible(moment: datetime) -> datetime:
    if moment.year < EARLIEST or moment.timestamp() > time.time() + AHEAD:
        raise ValueError(f"{moment.isoformat()} is no time at which a job can have changed")
    return moment


Moment = Annotated[datetime, AfterValidator(_possible)]
JobStatus = Enum("JobStatus", {s.name: s.value for s in Status if s is not Status.SCOUTING}, type=str)  # type: ignore[misc]


class AttemptUse(BaseModel):
    """What an attempt has used of its node."""

    model_config = ConfigDict(extra="forbid")

    cpu_seconds: float = stated("CPU time in s.", 12.5, ge=0, le=MOST_USED)
    wall_seconds: float = stated("Wall time of the payload in s.", 13.0, ge=0, le=MOST_USED)
    memory_mb: float = stated("The peak of its memory in MB.", 512.0, ge=0, le=MOST_USED)
    disk_mb: float = stated("The peak of its folder in MB.", 20.5, ge=0, le=MOST_USED)


class StatusUpdate(BaseModel):
    """What became of a job at one moment; what is left out stays as it is."""

    Status: JobStatus | None = stated("DIRAC's status.", "Running", default=None)
    MinorStatus: str | None = stated(
        "DIRAC's minor status.", "Execution Complete", default=None, max_length=128
    )
    ApplicationStatus: str | None = stated(
        "The application's own words; 255 characters are kept.",
        "exit code 0",
        default=None,
        max_length=LONGEST,
    )
    Source: str = stated(
        "Who says so; 32 characters are kept.", "JobWrapper", default="Unknown", max_length=255
    )
    Attempt: int | None = stated(
        "For pilots: the attempt that they hold; the current one by default.", 1, default=None, ge=1, le=MOST
    )
    Outputs: dict[str, Any] | None = stated("The CWL output object, with Done.", {"pi": 3.14}, default=None)
    StandardOutput: str | None = stated("The tail of the output.", "done", default=None, max_length=131072)
    Temporary: bool = stated(
        "For pilots, with Failed: trying again may help (CWL's temporaryFailCodes).", False, default=False
    )
    Use: AttemptUse | None = stated(
        "For pilots, with the end: what the attempt has used.",
        {"cpu_seconds": 12.5, "wall_seconds": 13.0, "memory_mb": 512.0, "disk_mb": 20.5},
        default=None,
    )


Updates = Annotated[dict[Moment, StatusUpdate], Field(min_length=1, max_length=1000)]
JobUpdates = Annotated[
    dict[JobNumber, Updates],
    Body(
        max_length=JOBS,
        description="By job, and by the time at which it was so (UTC).",
        examples=[{"17": {TIME: {"Status": "Running", "Source": "JobWrapper"}}}],
    ),
]
Heartbeats = Annotated[
    dict[JobNumber, Heartbeat],
    Body(max_length=JOBS, description="By job.", examples=[{"17": {"CPUConsumed": 12.5}}]),
]
Facts = Annotated[
    dict[JobNumber, Annotated[dict[str, Any], Field(max_length=PARAMETERS)]],
    Body(
        max_length=JOBS,
        description="By job: its Site, and parameters of any name.",
        examples=[{"17": {"Site": "LCG.CERN.ch", "HostName": "node042"}}],
    ),
]
Jdls = Annotated[
    list[Annotated[str, Field(max_length=1 << 20)]],
    Body(
        max_length=1_000_000,
        description="Descriptions of jobs; one of them may be parametric.",
        examples=[['Executable = "echo"; Arguments = "hello";']],
    ),
]


class InsertedJob(BaseModel):
    """A job that was accepted."""

    JobID: int = stated("Its number.", 17)
    Status: str = stated("Its status.", "Received")
    MinorStatus: str = stated("Its minor status.", "Job accepted")
    TimeStamp: str = stated("When it was accepted, UTC.", TIME)


class StatusAnswer(BaseModel):
    """What became of updates."""

    success: dict[int, dict[str, Any]] = stated("What has changed of the jobs.", {"17": {"Status": "Done"}})
    failed: dict[int, dict[str, Any]] = stated("Why not.", {})


class JobIds(BaseModel):
    """Some jobs."""

    job_ids: list[JobNumber] = stated("Their numbers.", [17, 18], max_length=1000)


class Rescheduled(BaseModel):
    """What became of jobs that were to run again."""

    success: dict[int, dict[str, Any]] = stated(
        "What has changed of the jobs.", {"17": {"Status": "Received"}}
    )
    failed: dict[int, dict[str, Any]] = stated(
        "Why not.", {"18": {"detail": "Maximum number of reschedules exceeded (3)"}}
    )


class Description(BaseModel):
    """A job's JDL."""

    jdl: str = stated("As it runs, with everything that was added.", '[ Executable = "echo"; JobID = 17; ]')
    original: str = stated("As it was submitted.", 'Executable = "echo";')


class Parameters(BaseModel):
    """What is known of a job besides its attributes."""

    parameters: dict[str, Any] = stated("By name.", {"HostName": "node042"})
    is_complete: bool = stated("False while OpenSearch does not answer.", True)


class JobState(BaseModel):
    """A job's status after a command."""

    job_id: int = stated("The job's number.", 17)
    status: str = stated("Its status.", "Killed")
    outcome: str = stated("applied, or refused when it was so already.", "applied")


class Log(BaseModel):
    """The tail of a job's output."""

    job_id: int = stated("The job's number.", 17)
    attempt: int | None = stated("The newest attempt; null before the first.", 1)
    text: str = stated("At most 64 KiB.", "event 1000")
    updated_at: str | None = stated("When the pilot sent it, UTC.", TIME)
    final: bool = stated("Whether the job has ended.", False)


class NewSandbox(BaseModel):
    """A file to be stored."""

    checksum_algorithm: Literal["sha256"] = stated("Always sha256.", "sha256", default="sha256")
    checksum: str = stated(
        "SHA-256 of the content in hex.", "9f86d08" + "0" * 57, pattern="^[0-9a-fA-F]{64}$"
    )
    size: int = stated("Bytes.", 1024, ge=0, le=LARGEST)
    format: Literal["tar.bz2", "tar.zst", "file"] = stated("What it is.", "file")


class Grant(BaseModel):
    """Where and how to upload."""

    pfn: str = stated(
        "The file's name in the store.", "SB:SandboxSE|/S3/local/lhcb/user/alice/sha256:9f8….file"
    )
    location: str | None = stated("The same as a location in CWL.", "sandbox:/S3/…", default=None)
    url: str | None = stated("POST it here; null: it is stored already.", "http://localhost:8000/api/…")
    fields: dict[str, str] = stated("Form fields to send along, the file last as `file`.", {"key": "…"})


class Download(BaseModel):
    """Where to fetch a file."""

    url: str = stated("A signed address.", "http://localhost:8000/api/…")
    expires_in: int = stated("Seconds for which it holds.", 300)
