"""The states of a workflow and of its nodes."""

from enum import StrEnum


class Status(StrEnum):
    """Received, Running and Killing go on; a node is Running from its making to its end."""

    RECEIVED = "Received"
    RUNNING = "Running"
    KILLING = "Killing"
    DONE = "Done"
    SKIPPED = "Skipped"
    FAILED = "Failed"
    KILLED = "Killed"


FINAL = frozenset({Status.DONE, Status.SKIPPED, Status.FAILED, Status.KILLED})
GOOD = frozenset({Status.DONE, Status.SKIPPED})
# What cwltool calls these in a WorkflowStateItem.
CWL_NAMES = {Status.DONE: "success", Status.SKIPPED: "skipped"}
