"""Which jobs are the steps of workflows: their group alone does not say so, since a JDL may state any."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, select

from diracx_tasks.jobs.tables import Job, Payload


def are_steps(job_groups: Collection[str]) -> list[ColumnElement[bool]]:
    """For a query of jobs: that they are of workflows, stated by the groups of their jobs, `00000042`."""
    numbers = Payload.owner_id.in_([int(group) for group in job_groups])
    # The index of groups finds them; of each the payload's row is looked up by its key.
    theirs: Any = select(Payload.job_id).where(Payload.job_id == Job.job_id, numbers)
    return [Job.job_group.in_(job_groups), theirs.exists()]
