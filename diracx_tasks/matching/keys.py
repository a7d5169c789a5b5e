"""The matcher's keys in Redis: those of a VO share a cluster slot, and no VO has another's."""


def prefix(vo: str) -> str:
    """What every key of a VO begins with; `queue.lua` lists what follows."""
    return f"{{{vo}}}:m:"


def leases(vo: str) -> str:
    """Sorted set: jobs taken and not confirmed, by the time at which they return, in seconds since 1970."""
    return f"{prefix(vo)}leases"


def lease(vo: str) -> str:
    """Hash: job under a lease -> its class, type, group, owner, site and computing element."""
    return f"{prefix(vo)}lease"


def ready(vo: str) -> str:
    """A mark that the queue has been made from the database; gone after a flush."""
    return f"{prefix(vo)}ready"
