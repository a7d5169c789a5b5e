"""What goes in and comes out of the pilots' routes."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from diracx_api.models.data import Announced, Lfn, Registered
from diracx_api.models.fields import stated
from diracx_api.models.slots import Asking, Description, Slot

__all__ = [
    "Asking",
    "Description",
    "Downloads",
    "Files",
    "Location",
    "MatchedJob",
    "Matches",
    "PilotMetadata",
    "PilotRegistration",
    "PilotStatus",
    "Release",
    "Slot",
    "Stamp",
    "Upload",
    "Uploads",
]

# DIRAC's tables may be in latin1, and a database takes small letters for capitals.
Stamp = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern="^[!-~]+$")]
PilotStatus = Literal["Submitted", "Waiting", "Running", "Done", "Failed", "Deleted", "Aborted", "Unknown"]
Location = Annotated[str, StringConstraints(max_length=1024)]
LARGEST_JOB = 2**31 - 1


class PilotRegistration(BaseModel):
    """A pilot that was started."""

    model_config = ConfigDict(extra="forbid")

    pilot_stamp: Stamp = stated("What it is known by: ASCII without blanks, unique.", "0f3c9a")
    vo: str = stated("Its VO.", "lhcb", min_length=1, max_length=128)
    grid_type: str = stated(
        "What kind of computing element started it.", "DIRAC", default="DIRAC", max_length=32
    )
    grid_site: str = stated("The site it is for.", "LCG.CERN.ch", default="Unknown", max_length=128)
    destination_site: str = stated(
        "The computing element.", "ce01.cern.ch", default="NotAssigned", max_length=128
    )
    pilot_reference: str | None = stated(
        "The computing element's name of it; the stamp by default.",
        "htcondorce://ce01.cern.ch/17.0",
        default=None,
        max_length=255,
    )
    pilot_status: PilotStatus = stated("Its status.", "Submitted", default="Submitted")


class PilotMetadata(BaseModel):
    """What is to be set of a pilot; what is left out stays."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    StatusReason: str | None = stated("Why it has its status.", "exit code 1", default=None, max_length=255)
    Status: PilotStatus | None = stated("Its status.", "Done", default=None)
    BenchMark: float | None = stated("How fast its node is, in DB12 of a core.", 14.2, default=None)
    DestinationSite: str | None = stated(
        "The computing element.", "ce01.cern.ch", default=None, max_length=128
    )
    Queue: str | None = stated("The computing element's queue.", "long", default=None, max_length=128)
    GridSite: str | None = stated("The site.", "LCG.CERN.ch", default=None, max_length=128)
    GridType: str | None = stated("What kind of computing element.", "DIRAC", default=None, max_length=32)
    AccountingSent: bool | None = stated("Whether it is accounted for.", True, default=None)
    CurrentJobID: int | None = stated("The job that it runs.", 17, default=None, ge=0, le=LARGEST_JOB)


class MatchedJob(BaseModel):
    """A job for the pilot."""

    job_id: int = stated("The job's number.", 17)
    attempt: int = stated("The attempt's number, to be sent with everything.", 1)
    owner: str = stated("Whose job it is.", "alice")
    group: str = stated("In which group.", "user")
    vo: str = stated("In which VO.", "lhcb")
    cores: int = stated("Cores it may use.", 1)
    ram_mb: int = stated("Memory it may use in MB.", 256)
    gpus: int = stated("GPUs it may use.", 0)
    scratch_mb: int = stated("Space for files that it may use in MB.", 1024)
    heartbeat_seconds: float = stated("How often to report, in s.", 30)
    payload: dict[str, Any] = stated(
        "What to run.", {"kind": "cwl", "bundle": "9f8…", "path": "simulate", "inputs": {}}
    )


class Matches(BaseModel):
    """Work for a pilot."""

    jobs: list[MatchedJob] = stated("None: ask again later.", [])
    retry_after: float = stated("Seconds to wait when there was none.", 2.0)


class Upload(Announced):
    """A file to be stored."""

    format: Literal["file", "tar.bz2"] = stated(
        "Of a sandbox: one file, or an archive of several.", "file", default="file"
    )
    lfn: Lfn | None = stated(
        "Under which LFN; without one the file goes to the sandbox store.",
        "/lhcb/user/a/alice/x.root",
        default=None,
    )


class Uploads(BaseModel):
    """Outputs of an attempt that are to be stored."""

    attempt: int = stated("The attempt that the pilot holds.", 1, ge=1, le=LARGEST_JOB)
    files: list[Upload] = stated("The files.", [], max_length=10000)


class Downloads(BaseModel):
    """Inputs of an attempt that are to be fetched."""

    attempt: int = stated("The attempt that the pilot holds.", 1, ge=1, le=LARGEST_JOB)
    locations: list[Location] = stated(
        "Locations in the input object: in the sandbox store, or LFNs of files and folders.",
        ["sandbox:/S3/…"],
        max_length=10000,
    )


class Files(BaseModel):
    """All that an attempt has uploaded under LFNs and as sandboxes of its job: it counts as a whole."""

    attempt: int = stated("The attempt that the pilot holds.", 1, ge=1, le=LARGEST_JOB)
    files: list[Registered] = stated("Files for the catalogue.", [], max_length=10000)
    sandboxes: list[Location] = stated(
        "PFNs that become output sandboxes of the job.", ["SB:SandboxSE|/S3/…"], default=[], max_length=100
    )


class Release(BaseModel):
    """A pilot gives its job back."""

    attempt: int = stated("The attempt that the pilot holds.", 1, ge=1, le=LARGEST_JOB)
    reason: str = stated("Why.", "the pilot was stopped", max_length=200)
    has_begun: bool = stated(
        "Whether anything was done for it; otherwise this is no failed try of the job.", True, default=True
    )
