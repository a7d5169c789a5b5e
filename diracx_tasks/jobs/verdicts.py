"""What an optimizer is asked about, and what it may answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import DBAPIError

from diracx_tasks.core.errors import DiracXError


@dataclass(frozen=True)
class Candidate:
    """A job on its way to the queue.

    `requirements` is the record that `cwl/record.py` describes, `input_data` the LFNs as they were stated.
    """

    job_id: int
    vo: str
    owner: str
    group: str
    job_type: str
    requirements: Mapping[str, Any]
    input_data: tuple[str, ...] = ()
    reschedules: int = 0
    is_held: bool = False


@dataclass(frozen=True)
class Hold:
    """Ask again in so many seconds, from one to a day, or in the VO's HoldSeconds.

    After its MaxHoldSeconds the job fails.
    """

    words: str
    seconds: float | None = None


@dataclass(frozen=True)
class Refuse:
    """The job fails, for a reason that its owner understands."""

    words: str


@dataclass(frozen=True)
class Narrow:
    """It asks for this from now on; when the job begins anew, the question is put again."""

    requirements: Mapping[str, Any]


Verdict = Hold | Refuse | Narrow


def words_of(error: Exception) -> str:
    """An error for the owners of jobs that are held because of it."""
    if isinstance(error, DiracXError):
        return str(error)
    # Without the statement and its values, which belong to others.
    cause = error.orig if isinstance(error, DBAPIError) else None
    return f"{type(cause or error).__name__}: {cause or error}"
