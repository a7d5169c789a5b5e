"""Attempts that cannot go on: those that have failed, and those that another node may do better."""

import errno
from collections.abc import Callable
from typing import TypeVar

from diracx_tasks.core.errors import ApiError, DiracXError, LoginNeeded

T = TypeVar("T")
# Names that a job has chosen and that no node can have; with anything else it is the node that is broken.
OF_NAMES = frozenset({errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR})


class Refused(Exception):
    """The attempt has failed; where it was, why, and whether another attempt may well succeed."""

    def __init__(self, minor: str, words: str, *, is_temporary: bool = False) -> None:
        super().__init__(words)
        self.minor = minor
        self.is_temporary = is_temporary


class Again(Exception):
    """The job is to be given back, for an attempt elsewhere."""


def doing(minor: str, step: Callable[[], T]) -> T:
    """The step's answer; Refused, with what the job was doing as its minor status, when that fails."""
    try:
        return step()
    except LoginNeeded:
        raise
    except DiracXError as error:
        # `halt` has asked again and again: the server or the store is out of order, not the job.
        is_temporary = isinstance(error, ApiError) and error.status >= 500
        raise Refused(minor, str(error), is_temporary=is_temporary) from error
    except OSError as error:
        if error.errno not in OF_NAMES:
            raise
        raise Refused(minor, f"{error.strerror}: {str(error.filename)[:200]}") from error
