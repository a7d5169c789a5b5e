"""What goes in and comes out of the route about plans of pilots."""

from pydantic import BaseModel, ConfigDict

from diracx_api.models.fields import stated


class PlanWanted(BaseModel):
    """Whether the plan is to be carried out."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = stated("Only say what would be done now.", True, default=True)


class PlannedQueue(BaseModel):
    """A queue, how many pilots it gets, and how it stands."""

    site: str = stated("The site.", "LCG.CERN.ch")
    ce: str = stated("The computing element.", "ce1.cern.ch")
    queue: str = stated("The queue.", "long")
    new: int = stated("Pilots that are sent there now.", 12)
    surplus: int = stated("Waiting pilots that nobody needs and that are withdrawn.", 0)
    waiting: int = stated("Pilots that are planned, submitted or wait there.", 3)
    running: int = stated("Pilots that run there.", 80)
    wait_seconds: float = stated("How long a new pilot is expected to wait.", 240.0)
    breaker: str = stated("closed, open or half-open.", "closed")
    words: str = stated("What holds it back; empty when nothing does.", "")


class PilotPlan(BaseModel):
    """What is planned for a VO."""

    jobs: int = stated("Jobs that wait, of each kind counted as far as pilots could come for them.", 15)
    homeless: int = stated("Jobs among these that fit no queue which may be used.", 0)
    new: int = stated("Pilots that are sent now.", 12)
    is_dry_run: bool = stated("Whether nothing is done.", True)
    queues: list[PlannedQueue] = stated("The queues of the VO.", [])
