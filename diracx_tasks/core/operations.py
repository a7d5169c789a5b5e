"""What the configuration in force says of operations and resources, with every default filled in."""

from functools import lru_cache

from diracx_tasks.core.config import Config, config
from diracx_tasks.core.document import operations_of
from diracx_tasks.core.scheduling import JobScheduling, Matching
from diracx_tasks.core.sections import Operations, ResourceOptions

__all__ = ["Operations", "job_scheduling", "matching", "operations", "resources"]


def operations(vo: str) -> Operations:
    """What is in force for a VO: the defaults, and over them what the VO states."""
    return operations_of(config(), vo)


def resources() -> ResourceOptions:
    """What the section Resources says, of all VOs."""
    return config().Resources


def job_scheduling(vo: str) -> JobScheduling:
    """What a VO's section JobScheduling says."""
    return _job_scheduling(config(), vo)


def matching(vo: str) -> Matching:
    """What a VO's section Matching says."""
    return _matching(config(), vo)


@lru_cache(256)
def _job_scheduling(found: Config, vo: str) -> JobScheduling:
    return JobScheduling.model_validate(found.section("JobScheduling", vo))


@lru_cache(256)
def _matching(found: Config, vo: str) -> Matching:
    return Matching.model_validate(found.section("Matching", vo))
