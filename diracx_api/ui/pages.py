"""All pages, in the order in which an address is compared with them."""

from diracx_api.ui import (
    enter,
    job,
    jobs,
    pilots,
    sites,
    stored,
    submit,
    usage,
    workflow,
    workflow_events,
    workflow_log,
    workflow_steps,
    workflow_timeline,
    workflow_values,
    workflows,
)
from diracx_api.ui.operate import dead, locks, overview, schedule, tasks

ROUTERS = (
    enter.router,
    jobs.router,
    job.router,
    submit.router,
    workflows.router,
    workflow.router,
    workflow_steps.router,
    workflow_timeline.router,
    workflow_log.router,
    workflow_values.router,
    workflow_events.router,
    stored.router,
    sites.router,
    pilots.router,
    usage.router,
    overview.router,
    schedule.router,
    tasks.router,
    dead.router,
    locks.router,
)
