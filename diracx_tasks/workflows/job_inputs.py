"""The inputs of a workflow's job, with the arrays that its payload only refers to."""

from typing import Any

from sqlalchemy.orm import Session

from diracx_tasks.jobs import read
from diracx_tasks.workflows import collections


def whole_inputs(db: Session, job_id: int) -> Any:
    """The whole input object of a job; TooLarge when its arrays have more elements than a job may read."""
    payload, owner_id = read.payload_of(db, job_id)
    return collections.whole(db, owner_id or 0, payload["inputs"])
