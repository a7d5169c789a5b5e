"""The matcher's keys in Redis; those of a VO share a cluster slot."""


def classes(vo: str) -> str:
    """Hash: class -> requirements as JSON, of the classes that may have jobs."""
    return f"{{{vo}}}:match:classes"


def jobs(vo: str, class_id: str) -> str:
    """Sorted set: the waiting jobs of a class by their place."""
    return f"{{{vo}}}:match:jobs:{class_id}"


def leases(vo: str) -> str:
    """Sorted set: jobs taken and not confirmed, by the time at which they return."""
    return f"{{{vo}}}:match:leases"


def ready(vo: str) -> str:
    """A mark that the queue has been made from the database; gone after a flush."""
    return f"{{{vo}}}:match:ready"


def seen(vo: str) -> str:
    """Hash: description of a kind of pilot -> when one last asked, in seconds since 1970."""
    return f"{{{vo}}}:match:seen"


def all_of(vo: str) -> list[str]:
    """The keys that `match.lua` works on."""
    return [classes(vo), leases(vo), ready(vo), seen(vo)]
