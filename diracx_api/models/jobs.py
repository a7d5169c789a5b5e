"""What goes in and comes out of the jobs' routes; job attributes have DIRAC's names."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from diracx_api.models.fields import stated

MOST = 2**31 - 1
LARGEST = 2**63 - 1
JobNumber = Annotated[int, Field(ge=0, le=LARGEST)]
Integer = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
TIME = "2026-11-23T10:00:00.123456Z"


class Condition(BaseModel):
    """One condition of a search."""

    parameter: str = stated("A job attribute.", "Status")
    operator: Literal["eq", "neq", "gt", "lt", "like", "not like", "regex", "in", "not in"] = stated(
        "How to compare.", "eq"
    )
    value: str | Integer | None = stated("What to compare with.", "Done", default=None)
    values: list[str] | list[Integer] | None = stated(
        "For `in` and `not in`.", ["Done", "Failed"], default=None
    )


class Order(BaseModel):
    """One sorting criterion."""

    parameter: str = stated("A job attribute.", "JobID")
    direction: Literal["asc", "desc"] = stated("Which way.", "desc")


class Search(BaseModel):
    """Which jobs, which of their attributes, in which order."""

    parameters: list[str] | None = stated(
        "Attributes wanted; all by default.", ["JobID", "Status"], default=None
    )
    search: list[Condition] = stated("Conditions that all must hold.", [], default=[])
    sort: list[Order] = stated("Sorting criteria, first one first.", [], default=[])


class Heartbeat(BaseModel):
    """What a pilot measures of its payload."""

    model_config = ConfigDict(extra="forbid")

    Attempt: int = stated("The attempt that the pilot holds.", 1, ge=1, le=MOST)
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
    command: str = stated("What to do: Kill.", "Kill")
    arguments: str = stated("Further words.", "", default="")


class StatusUpdate(BaseModel):
    """A status that a pilot reports."""

    Status: str = stated("Running, Completing, Done or Failed.", "Done")
    MinorStatus: str = stated("DIRAC's minor status.", "Execution Complete", default="", max_length=128)
    ApplicationStatus: str = stated(
        "The application's own words.", "exit code 0", default="", max_length=2000
    )
    Source: str = stated("Who says so.", "JobWrapper", default="Unknown", max_length=64)
    Attempt: int = stated("The attempt that the pilot holds.", 1, ge=1, le=MOST)
    Outputs: dict[str, Any] | None = stated("The CWL output object, with Done.", {"pi": 3.14}, default=None)
    StandardOutput: str | None = stated("The tail of the output.", "done", default=None, max_length=131072)


Updates = Annotated[dict[str, StatusUpdate], Field(min_length=1)]


class StatusAnswer(BaseModel):
    """What became of reports."""

    success: dict[int, dict[str, Any]] = stated("The jobs' statuses now.", {"17": {"Status": "Done"}})
    failed: dict[int, dict[str, Any]] = stated("Why not.", {})


class JobState(BaseModel):
    """A job's status after a command."""

    job_id: int = stated("The job's number.", 17)
    status: str = stated("Its status.", "Killed")
    outcome: str = stated("applied, or refused when it was so already.", "applied")


class Why(BaseModel):
    """Why a job is where it is."""

    job_id: int = stated("The job's number.", 17)
    status: str = stated("Its status.", "Waiting")
    reasons: list[str] = stated("In words.", ["3 jobs of its kind are ahead."])


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
    size: int = stated("Bytes.", 1024, ge=0)
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
