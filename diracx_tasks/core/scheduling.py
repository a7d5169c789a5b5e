"""The sections JobScheduling and Matching of Operations: who goes first, how many go where, what is kept."""

from collections import Counter
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from diracx_tasks.core.sections import Section

DAY = 86400
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Factor = Annotated[float, Field(ge=1, allow_inf_nan=False)]
# Negative: never.
Days = Annotated[float, Field(ge=-1, le=36500, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
NEAR = 0.75


class Open(Section):
    """A section that may hold more than we know; but what looks like one of its keys is a mistake."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _no_slips(cls, given: Any) -> Any:
        known = list(cls.model_fields)
        for name in given if isinstance(given, dict) else ():
            if name not in known and (meant := get_close_matches(str(name), known, 1, NEAR)):
                raise ValueError(f"unknown key {name}; is {meant[0]} meant?")
        return given


class ByAttribute(Section):
    """How many jobs of a type, a group, an owner may be at a place at the same time."""

    JobType: dict[str, Count] = Field({})
    OwnerGroup: dict[str, Count] = Field({})
    Owner: dict[str, Count] = Field({})


class SiteLimits(ByAttribute):
    """The same of a site, and of its computing elements."""

    CEs: dict[str, ByAttribute] = Field({})


class Bursts(Section):
    """How many may start at once after a quiet while."""

    JobType: dict[str, Annotated[int, Field(ge=1)]] = Field({})
    OwnerGroup: dict[str, Annotated[int, Field(ge=1)]] = Field({})
    Owner: dict[str, Annotated[int, Field(ge=1)]] = Field({})


class SiteDelays(Section):
    """Seconds between two starts of jobs of a type, a group, an owner at a site."""

    JobType: dict[str, Seconds] = Field({})
    OwnerGroup: dict[str, Seconds] = Field({})
    Owner: dict[str, Seconds] = Field({})
    Burst: Bursts = Bursts()


class Slice(Section):
    """A span of time in the past, in seconds, and how much what was used in it may change a share."""

    TimeSpan: int = Field(7 * DAY, ge=3600, le=30 * DAY)
    Weight: Positive = 1
    MaxCorrection: Factor = 3


class Correction(Section):
    """A correction of the shares of all groups, or of the owners of one group; its other keys are slices."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Slice]

    Group: str | None = None
    MaxGlobalCorrection: Factor | None = None
    # So called in DIRAC's documentation.
    MaxGlobalCorrectionFactor: Factor = 5
    UpdateHistoryPeriod: int | None = None

    @property
    def most(self) -> float:
        """What all slices together may change at most: by this factor, up or down."""
        return self.MaxGlobalCorrection or self.MaxGlobalCorrectionFactor

    @property
    def slices(self) -> list[Slice]:
        """The slices; one week when none is stated."""
        return list(self.__pydantic_extra__.values()) or [Slice()]


class Corrector(Section):
    """Corrections by name."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Correction]


class Corrections(Section):
    """Correctors by name, and which of them are in use."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Corrector]

    ShareCorrectorsToStart: list[str] = Field([])

    @property
    def started(self) -> list[Correction]:
        """The corrections of the correctors that are in use."""
        names = [name for name in self.ShareCorrectorsToStart if name in self.__pydantic_extra__]
        return [one for name in names for one in self.__pydantic_extra__[name].__pydantic_extra__.values()]


class HeartbeatDelays(Open):
    """Days after which the heartbeats of jobs that ended so are forgotten; never, as in DIRAC."""

    Done: Days = -1
    Killed: Days = -1
    Failed: Days = -1


class StatusDelays(Open):
    """Days after which jobs that ended so are removed.

    `Any` is of every status: what has not ended by then is killed.
    """

    Done: Days = 7
    Killed: Days = 7
    Failed: Days = 7
    Any: Days = -1


class JobCleaning(Open):
    """What DIRAC's JobCleaningAgent is told, with its defaults."""

    RemoveStatusDelay: StatusDelays = StatusDelays()
    RemoveStatusDelayHB: HeartbeatDelays = HeartbeatDelays()


class JobScheduling(JobCleaning):
    """The section JobScheduling, with DIRAC's defaults."""

    CheckJobLimits: bool = True
    CheckMatchingDelay: bool = True
    RunningLimit: dict[str, SiteLimits] = Field({})
    MatchingDelay: dict[str, SiteDelays] = Field({})
    EnableSharesCorrection: bool = False
    ShareCorrections: Corrections | None = None
    taskQueueCPUTimeIntervals: list[int] = Field([])
    # Ours: who is asked between Received and Waiting, and for how long a job is held at a time and in all.
    Optimizers: list[str] = Field(["InputData"])
    HoldSeconds: Annotated[float, Field(ge=1, le=DAY)] = 300
    MaxHoldSeconds: Seconds = DAY
    # Before a job runs again for the first, second, ... time; DIRAC's begin with 60 s.
    RescheduleDelays: list[Seconds] = Field([0, 0, 60, 180, 300, 600])


class Tier(Section):
    """Job types that share what is their tier's by weight."""

    Weight: Positive = 1
    JobTypes: list[str] = Field([])


class Batch(Section):
    """A computing element whose nodes cannot call out, so that its jobs are matched here.

    `Kind` is the entry point that knows how to talk to it, `Node` what a slot for one job there offers, in
    the words of DIRAC's pilots; its GridCE is the key under which it stands.
    """

    Kind: str = Field(min_length=1)
    MaxJobs: int = Field(100, ge=1, le=1000)
    Node: dict[str, Any]
    Options: dict[str, Any] = Field({})


class Matching(Open):
    """The section Matching; it is ours."""

    Tiers: dict[str, Tier] = Field({})
    Batches: dict[str, Batch] = Field({})

    @model_validator(mode="after")
    def _in_one_tier(self) -> "Matching":
        often = Counter(name for tier in self.Tiers.values() for name in set(tier.JobTypes))
        if twice := sorted(name for name, count in often.items() if count > 1):
            raise ValueError(f"the job type {twice[0]} is in {often[twice[0]]} tiers")
        return self


class SiteDirector(Open):
    """The section SiteDirector: how pilots are sent to queues. MaxPilotsToSubmit is DIRAC's, of each round.

    A queue gets no pilots for BackoffSeconds, then twice as long and so on, after FailuresInARow submissions
    that failed, or when AbortedFraction of at least AbortedLeast pilots within the last hour were aborted, or
    failed before they had a job.

    A pilot may begin within SecretSeconds of its submission: as long as one may wait. It gets tokens of
    TokenSeconds for as long as its queue lets it run, PilotSeconds where that is not stated.
    """

    MaxPilotsToSubmit: Annotated[int, Field(ge=1, le=10_000)] = 100
    FailuresInARow: Annotated[int, Field(ge=1, le=1000)] = 3
    AbortedFraction: Annotated[float, Field(gt=0, le=1)] = 0.5
    AbortedLeast: Annotated[int, Field(ge=1, le=10_000)] = 5
    BackoffSeconds: Annotated[float, Field(ge=1, le=DAY)] = 600
    MaxBackoffSeconds: Annotated[float, Field(ge=1, le=7 * DAY)] = 21_600
    SecretSeconds: Annotated[float, Field(ge=60, le=30 * DAY)] = 4 * DAY
    TokenSeconds: Annotated[float, Field(ge=60, le=DAY)] = DAY / 2
    PilotSeconds: Annotated[float, Field(ge=60, le=90 * DAY)] = 7 * DAY
