"""What goes in and comes out of the routes about single pilots: their histories, logs and ends."""

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict

from diracx_api.models.fields import stated
from diracx_api.models.pilots import Stamp

MOST_KILLED = 1000
TIME = "2026-11-23T10:00:00.123456Z"
STAMP = "0f3c9a7be0d94b1f8a4d9b3f9c8e7d6a"
OfPilot = Annotated[
    str,
    Path(min_length=1, max_length=32, pattern="^[!-~]+$", description="The pilot's stamp.", examples=[STAMP]),
]


class PilotLog(BaseModel):
    """What a pilot has written."""

    model_config = ConfigDict(extra="forbid")

    stamp: Stamp = stated("The pilot's stamp.", STAMP)
    text: str = stated(
        "The end of its log, up to 1 MiB as UTF-8; it replaces what was sent before.", "began\n"
    )


class PilotOutput(BaseModel):
    """What a batch system has of a pilot."""

    output: str = stated("The end of its standard output, up to 1 MB.", "began\n")
    errors: str = stated("The end of its standard error, up to 1 MB; or why there is none.", "")


class PilotsToKill(BaseModel):
    """Pilots that are to end."""

    model_config = ConfigDict(extra="forbid")

    stamps: list[Stamp] = stated("Their stamps.", [STAMP], min_length=1, max_length=MOST_KILLED)


class KilledPilot(BaseModel):
    """What becomes of a pilot that is to end."""

    stamp: str = stated("Its stamp.", STAMP)
    was: str = stated("Its status before.", "Running")
    has_ended: bool = stated("Whether that was an end already: nothing is done then.", False)
    words: str = stated("What happens at its computing element.", "ce1.cern.ch is told")


class PilotEvent(BaseModel):
    """Something that happened to a pilot."""

    at: str = stated("When, UTC.", TIME)
    words: str = stated("What.", "planned for long of ce1.cern.ch")


class PilotJobHeld(BaseModel):
    """A job that a pilot has or had."""

    job_id: int = stated("The job's number.", 17)
    attempt: int = stated("Which of its attempts.", 1)
    status: str = stated("How the attempt is, or ended.", "Done")
    reason: str = stated("Why.", "")
    is_held: bool = stated("Whether the pilot has it still.", False)
    started_at: str = stated("When the pilot got it, UTC.", TIME)
    ended_at: str | None = stated("When the attempt ended, UTC.", TIME)


class PilotHistory(BaseModel):
    """One pilot with all that is known of it."""

    stamp: str = stated("What it is known by.", STAMP)
    reference: str = stated("Its batch system's name of it; the stamp: it has none yet.", "slurm://ce1/4711")
    status: str = stated("Its status.", "Running")
    reason: str = stated("Why it has its status.", "")
    site: str = stated("The site.", "LCG.CERN.ch")
    ce: str = stated("The computing element.", "ce1.cern.ch")
    queue: str = stated("The queue.", "long")
    kind: str = stated("What kind of computing element.", "Slurm")
    benchmark: float = stated("How fast its node is, in DB12 of a core; 0: not known.", 14.2)
    updated_at: str | None = stated("When it was heard of last, UTC.", TIME)
    is_to_be_killed: bool = stated("Whether its element is still to be told that it is to end.", False)
    events: list[PilotEvent] = stated("What happened to it.", [])
    jobs: list[PilotJobHeld] = stated("Its last 200 jobs, the newest first.", [])
    job_ids: list[int] = stated("The numbers of all its jobs.", [17])
