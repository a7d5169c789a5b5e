"""DIRAC's Operations of one VO, with every default filled in; names are the CS's own."""

from functools import lru_cache
from typing import Any

from pydantic import ConfigDict, Field

from diracx_tasks.core.config import DEFAULTS, Config, config, merged
from diracx_tasks.core.registry import Section

Free = dict[str, Any] | None


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
    """Everything under Operations of one VO; `Tasks` is ours, the rest is DIRAC's."""

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
    Tasks: Free = None


def operations(vo: str) -> Operations:
    """What is in force for a VO: the defaults, and over them what the VO states."""
    return _operations(config(), vo)


@lru_cache(256)
def _operations(found: Config, vo: str) -> Operations:
    stated = found.Operations
    return Operations.model_validate(merged(stated.get(DEFAULTS, {}), stated.get(vo, {})))
