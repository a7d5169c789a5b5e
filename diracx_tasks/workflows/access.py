"""Who sees of a workflow more than how far it is: its jobs one by one, what they say, print and use."""

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.errors import Forbidden
from diracx_tasks.jobs import access
from diracx_tasks.workflows.tables import Workflow


def sees_jobs(workflow: Workflow, by: User) -> bool:
    """Whether somebody who sees the workflow also sees its jobs, as the VO's configuration says."""
    return access.sees_all(by) or workflow.owner == by.name


def must_see_jobs(workflow: Workflow, by: User) -> None:
    """Raise Forbidden unless somebody who sees the workflow also sees its jobs."""
    if not sees_jobs(workflow, by):
        words = f"the jobs of workflow {workflow.workflow_id} are {workflow.owner}'s"
        raise Forbidden(f"{words}: in {workflow.vo} one sees one's own jobs only")


def reason(workflow: Workflow, by: User) -> str:
    """Why the workflow is as it is; empty where its jobs, of which this tells, are not to be seen."""
    return workflow.reason or "" if sees_jobs(workflow, by) else ""
