"""What DIRAC's configuration may say beside the Registry, with every default; names are the CS's own."""

import os
from collections.abc import Iterable
from difflib import get_close_matches
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

# DIRAC's own name of the switch, without our prefix.
CONVERSION = "DIRAC_COMPAT_ENABLE_CS_CONVERSION"
# Sets have no order of their own: what is sent out must not change from process to process.
SORTED = PlainSerializer(sorted, return_type=list[str])
Names = Annotated[frozenset[str], SORTED]
Free = dict[str, Any] | None
NEAR = 0.75
MOST_MINUTES = 366 * 1440
MOST_PILOTS = 1_000_000
# What DIRAC's tables have room for.
PlaceName = Annotated[str, Field(min_length=1, max_length=128)]
# It is a part of the keys of tasks, beside a VO.
ElementName = Annotated[str, Field(min_length=1, max_length=80)]


class Section(BaseModel):
    """A section of the configuration: only what it knows is allowed in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _from_cfg(cls, given: Any) -> Any:
        if not (os.environ.get(CONVERSION) and isinstance(given, dict)):
            return given
        return {name: _converted(value, cls.model_fields.get(name)) for name, value in given.items()}


def names_in(value: Any) -> Iterable[Any]:
    """The items of a list; with DIRAC's conversion on, also those of a text with commas between them."""
    if isinstance(value, str) and os.environ.get(CONVERSION):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value if isinstance(value, list | tuple | set | frozenset) else ()


def _converted(value: Any, field: FieldInfo | None) -> Any:
    """What a text of a CFG file means for a field."""
    if field is None or not isinstance(value, str):
        return value
    if value == "None" and NoneType in get_args(field.annotation):
        return None
    return list(names_in(value)) if get_origin(field.annotation) in (list, frozenset) else value


class Setup(Section):
    """The section DIRAC."""

    NoSetup: bool = False


class JobLimits(Section):
    """Defaults and limits of job descriptions; CPU times in seconds."""

    DefaultCPUTime: int = 86400
    DefaultPriority: int = 1
    MinCPUTime: int = 100
    MinPriority: int = 0
    MaxCPUTime: int = 500000
    MaxPriority: int = 10
    MaxInputData: int = 100
    AllowedJobTypes: list[str] = Field(["User", "Test", "Hospital"])


class Monitoring(Section):
    """Whether everybody sees all jobs of his VO, or only his own."""

    GlobalJobsInfo: bool = True


class Scheduling(Section):
    """How often a job may be rescheduled."""

    EnableSharesCorrection: bool = False
    MaxRescheduling: int = Field(3, ge=0)


class ServiceOptions(Section):
    """What DIRAC's services are told."""

    Catalogs: Free = None
    JobMonitoring: Monitoring = Monitoring()
    JobScheduling: Scheduling = Scheduling()


class ProtocolLists(Section):
    """Protocols by where a file is read from."""

    Remote: list[str] = Field([])
    Local: list[str] = Field([])


class InputDataOptions(Section):
    """How jobs reach their input data: names of DIRAC's modules."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    Default: str = "Default = DIRAC.WorkloadManagementSystem.Client.InputDataByProtocol"
    Download: str = "DIRAC.WorkloadManagementSystem.Client.DownloadInputData"
    Protocol: str = "DIRAC.WorkloadManagementSystem.Client.InputDataByProtocol"
    AllReplicas: bool = True
    Protocols: ProtocolLists = ProtocolLists()
    InputDataModule: str = "DIRAC.Core.Utilities.InputDataResolution"


class Operations(Section):
    """DIRAC's sections of Operations of one VO; `Tasks` and extensions' sections may stand beside them."""

    # Which others there may be is asked of `document.SECTIONS` when a text is read.
    model_config = ConfigDict(extra="allow", frozen=True)

    EnableSecurityLogging: bool = False
    InputDataPolicy: InputDataOptions = InputDataOptions()
    JobDescription: JobLimits = JobLimits()
    Services: ServiceOptions = ServiceOptions()
    SoftwareDistModule: str = "LocalSoftwareDist"
    Cloud: Free = None
    DataConsistency: Free = None
    DataManagement: Free = None
    EMail: Free = None
    GaudiExecution: Free = None
    Hospital: Free = None
    JobScheduling: Free = None
    JobTypeMapping: Free = None
    LogFiles: Free = None
    LogStorage: Free = None
    Logging: Free = None
    Matching: Free = None
    MonitoringBackends: Free = None
    NagiosConnector: Free = None
    Pilot: Free = None
    Productions: Free = None
    Shares: Free = None
    Shifter: Free = None
    SiteSEMappingByProtocol: Free = None
    TransformationPlugins: Free = None
    Transformations: Free = None
    ResourceStatus: Free = None


class ComputingOptions(Section):
    """Which platforms run what was built for which."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    OSCompatibility: dict[str, Names] = Field({})

    @model_validator(mode="before")
    @classmethod
    def _with_itself(cls, given: Any) -> Any:
        """Each platform is compatible with itself."""
        stated = given.get("OSCompatibility") if isinstance(given, dict) else None
        if not isinstance(stated, dict):
            return given
        whole = {
            platform: _and(platform, others) if isinstance(platform, str) else others
            for platform, others in stated.items()
        }
        return {**given, "OSCompatibility": whole}


def _and(platform: str, others: Any) -> Any:
    if isinstance(others, str) and os.environ.get(CONVERSION):
        others = list(names_in(others))
    # At the end: complaints about a list name the item by its place.
    return [*others, platform] if isinstance(others, list) else others


def _listed(given: Any) -> Any:
    """DIRAC writes lists as texts with commas."""
    return [part.strip() for part in given.split(",") if part.strip()] if isinstance(given, str) else given


Listed = Annotated[list[str], BeforeValidator(_listed)]


class StorageElementOptions(Section):
    """A storage element; `Type` says who serves it: without one, nobody here does."""

    model_config = ConfigDict(extra="allow", frozen=True)

    Type: str | None = None
    VO: Listed = Field([])
    ReadAccess: str = "Active"
    WriteAccess: str = "Active"


class Offered(Section):
    """What a queue offers to jobs, and how many pilots may be there; what is not stated is None.

    DIRAC's names: `maxCPUTime` and `maxWallClockTime` in minutes, `MaxRAM` in MB for a pilot. What else
    stands here is the computing element's own.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    VO: Listed = Field([])
    maxCPUTime: Annotated[int, Field(ge=1, le=MOST_MINUTES)] | None = None
    maxWallClockTime: Annotated[int, Field(ge=1, le=MOST_MINUTES)] | None = None
    SI00: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    MaxTotalJobs: Annotated[int, Field(ge=0, le=MOST_PILOTS)] | None = None
    MaxWaitingJobs: Annotated[int, Field(ge=0, le=MOST_PILOTS)] | None = None
    NumberOfProcessors: Annotated[int, Field(ge=1, le=1024)] | None = None
    NumberOfGPUs: Annotated[int, Field(ge=0, le=1024)] | None = None
    MaxRAM: Annotated[int, Field(ge=1)] | None = None
    WholeNode: bool | None = None
    Platform: str | None = None
    architecture: str | None = None
    Tag: Listed = Field([])
    RequiredTag: Listed = Field([])

    @model_validator(mode="before")
    @classmethod
    def _no_slips(cls, given: Any) -> Any:
        known = {name.lower(): name for name in cls.model_fields}
        for name in given if isinstance(given, dict) else ():
            near = get_close_matches(str(name).lower(), known, 1, NEAR)
            if name not in cls.model_fields and near:
                raise ValueError(f"unknown key {name}; is {known[near[0]]} meant?")
        return {} if given is None else given


class QueueOptions(Offered):
    """A queue of a computing element; what it does not state its element may."""


class ComputingElementOptions(Offered):
    """A computing element: who serves it, and its queues."""

    CEType: str = Field(min_length=1, max_length=32)
    Queues: dict[PlaceName, QueueOptions] = Field({})

    @model_validator(mode="after")
    def _requires_what_it_offers(self) -> "ComputingElementOptions":
        """A queue that requires of jobs what it does not offer would never run any."""
        for name, queue in self.Queues.items():
            offered = {*self.Tag, *queue.Tag}
            if lacking := sorted({*self.RequiredTag, *queue.RequiredTag} - offered):
                raise ValueError(f"the queue {name} has no Tag {lacking[0]}, which its RequiredTag names")
        return self


class SiteOptions(Section):
    """A site: which storage elements are its own, the nearest first; and its computing elements."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    SE: Listed = Field([])
    CEs: dict[ElementName, ComputingElementOptions] = Field({})

    @field_validator("CEs", mode="before")
    @classmethod
    def _may_be_empty(cls, given: Any) -> Any:
        return {} if given is None else given


class ResourceOptions(Section):
    """The section Resources: what DIRAC keeps there besides is left to DIRAC."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    Computing: ComputingOptions = ComputingOptions()
    # DiracX shows neither.
    StorageElements: dict[str, StorageElementOptions] = Field({}, exclude=True)
    Sites: dict[str, dict[str, SiteOptions]] = Field({}, exclude=True)

    @model_validator(mode="after")
    def _elements_stand_once(self) -> "ResourceOptions":
        """Pilots are known by their computing element's name: it must say where they are."""
        sites: dict[str, str] = {}
        for grid in self.Sites.values():
            for site, stated in grid.items():
                for ce in stated.CEs:
                    if sites.setdefault(ce, site) != site:
                        raise ValueError(f"the computing element {ce} is at {sites[ce]} and at {site}")
        return self
