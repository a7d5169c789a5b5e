"""What the configuration in force says of operations and resources, with every default filled in."""

from diracx_tasks.core.config import config
from diracx_tasks.core.document import operations_of
from diracx_tasks.core.sections import Operations, ResourceOptions

__all__ = ["Operations", "operations", "resources"]


def operations(vo: str) -> Operations:
    """What is in force for a VO: the defaults, and over them what the VO states."""
    return operations_of(config(), vo)


def resources() -> ResourceOptions:
    """What the section Resources says, of all VOs."""
    return config().Resources
