"""What goes in and comes out of the routes about sites and tests of their queues."""

from pydantic import BaseModel, ConfigDict

from diracx_api.models.fields import stated

TIME = "2026-11-23T10:00:00.123456Z"


class SiteQueue(BaseModel):
    """A queue of a site, and how it stands."""

    site: str = stated("The site.", "LCG.CERN.ch")
    ce: str = stated("The computing element.", "ce1.cern.ch")
    queue: str = stated("The queue.", "long")
    kind: str = stated("The computing element's CEType.", "Slurm")
    is_allowed: bool = stated("Whether the site and the computing element may be used (RSS).", True)
    barred: str = stated("Why not.", "LCG.CERN.ch is not to be used: maintenance")
    breaker: str = stated("closed, open or half-open.", "closed")
    breaker_reason: str = stated("Why it is not closed.", "6 of 6 pilots were aborted")
    breaker_until: str | None = stated("Until when no pilots are sent, UTC.", TIME)
    waiting: int = stated("Pilots that are planned, submitted or wait there.", 3)
    running: int = stated("Pilots that run there.", 80)
    test: str = stated("Its last test: Running, Done or Failed; empty: never tested.", "Done")
    test_reason: str = stated("Why that failed.", "")
    test_ended_at: str | None = stated("When that ended, UTC.", TIME)


class Ban(BaseModel):
    """A site, or a computing element of it, and why."""

    model_config = ConfigDict(extra="forbid")

    site: str = stated("The site.", "LCG.CERN.ch", default="", max_length=64)
    ce: str = stated("This computing element only.", "", default="", max_length=64)
    reason: str = stated("Why.", "maintenance until Friday", min_length=1, max_length=512)


class Stated(BaseModel):
    """What holds now."""

    name: str = stated("Of which site or computing element.", "LCG.CERN.ch")
    kind: str = stated("Site or ComputeElement.", "Site")
    status: str = stated("Active or Banned.", "Banned")
    reason: str = stated("Why.", "maintenance until Friday")
    closed: int = stated("How many queues get pilots again although their breakers were open.", 0)


class QueueNames(BaseModel):
    """Which queues are meant: what is not stated is any."""

    model_config = ConfigDict(extra="forbid")

    site: str = stated("The site.", "", default="", max_length=128)
    ce: str = stated("The computing element.", "", default="", max_length=128)
    queue: str = stated("The queue.", "", default="", max_length=128)


class QueueTest(BaseModel):
    """A queue that is tested, and the job that does it."""

    site: str = stated("The site.", "LCG.CERN.ch")
    ce: str = stated("The computing element.", "ce1.cern.ch")
    queue: str = stated("The queue.", "long")
    job_id: int = stated("The job.", 17)


class QueueTested(BaseModel):
    """The last test of a queue."""

    site: str = stated("The site.", "LCG.CERN.ch")
    ce: str = stated("The computing element.", "ce1.cern.ch")
    queue: str = stated("The queue.", "long")
    job_id: int | None = stated("The job; null: it was never tested.", 17)
    status: str = stated("Running, Done or Failed; empty: it was never tested.", "Failed")
    reason: str = stated("Why it failed.", "test job 17 is Failed (no space left)")
    asked_at: str | None = stated("When it was asked for, UTC.", TIME)
    ended_at: str | None = stated("When it ended, UTC.", TIME)
