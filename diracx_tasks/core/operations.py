"""What the configuration in force says of operations and resources, with every default filled in."""

from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from diracx_tasks.core.config import Config, config, merged
from diracx_tasks.core.document import operations_of
from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.scheduling import JobCleaning, JobScheduling, Matching, SiteDirector
from diracx_tasks.core.sections import Operations, ResourceOptions, names_in

__all__ = [
    "Operations",
    "data_processing_types",
    "job_cleaning",
    "job_scheduling",
    "matching",
    "operations",
    "resources",
    "site_director",
]
# Where DIRAC has the delays of all VOs.
AGENT = ("WorkloadManagement", "Agents", "JobCleaningAgent")


def operations(vo: str) -> Operations:
    """What is in force for a VO: the defaults, and over them what the VO states."""
    return operations_of(config(), vo)


def resources() -> ResourceOptions:
    """What the section Resources says, of all VOs."""
    return config().Resources


def job_scheduling(vo: str) -> JobScheduling:
    """What a VO's section JobScheduling says."""
    return _job_scheduling(config(), vo)


def job_cleaning(vo: str) -> JobCleaning:
    """How long a VO's jobs are kept: as its section JobScheduling says, else as DIRAC's agent is told.

    SettingsError when what the agent is told cannot be read.
    """
    return _job_cleaning(config(), vo)


def data_processing_types(vo: str) -> frozenset[str]:
    """The types of jobs that belong to transformations, and are removed with these."""
    stated = (operations(vo).Transformations or {}).get("DataProcessing") or []
    names = stated.split(",") if isinstance(stated, str) else names_in(stated)
    return frozenset(str(name).strip() for name in names)


def matching(vo: str) -> Matching:
    """What a VO's section Matching says."""
    return _matching(config(), vo)


def site_director(vo: str) -> SiteDirector:
    """What a VO's section SiteDirector says."""
    return _site_director(config(), vo)


@lru_cache(256)
def _site_director(found: Config, vo: str) -> SiteDirector:
    return SiteDirector.model_validate(found.section("SiteDirector", vo))


@lru_cache(256)
def _job_scheduling(found: Config, vo: str) -> JobScheduling:
    return JobScheduling.model_validate(found.section("JobScheduling", vo))


@lru_cache(256)
def _matching(found: Config, vo: str) -> Matching:
    return Matching.model_validate(found.section("Matching", vo))


@lru_cache(256)
def _job_cleaning(found: Config, vo: str) -> JobCleaning:
    section: Any = found.Systems
    for name in AGENT:
        section = section.get(name) if isinstance(section, dict) else None
    of_agent = section if isinstance(section, dict) else {}
    stated = merged(of_agent, found.section("JobScheduling", vo))
    try:
        return JobCleaning.model_validate({name: stated.get(name) or {} for name in JobCleaning.model_fields})
    except ValidationError as error:
        raise SettingsError(f"Systems/{'/'.join(AGENT)}: {error}") from error
