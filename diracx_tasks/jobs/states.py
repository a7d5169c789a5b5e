"""DIRAC's job states as data: which follows which, which are final."""

from enum import StrEnum


class Status(StrEnum):
    """DIRAC's statuses (DIRACCommon, WorkloadManagementSystem/Client/JobStatus)."""

    SUBMITTING = "Submitting"
    RECEIVED = "Received"
    CHECKING = "Checking"
    SCOUTING = "Scouting"
    STAGING = "Staging"
    WAITING = "Waiting"
    MATCHED = "Matched"
    RUNNING = "Running"
    STALLED = "Stalled"
    COMPLETING = "Completing"
    COMPLETED = "Completed"
    RESCHEDULED = "Rescheduled"
    DONE = "Done"
    FAILED = "Failed"
    KILLED = "Killed"
    DELETED = "Deleted"


S = Status
# DIRAC's map, with two repairs: nothing follows Deleted, and a job with a pilot can lose it in any state.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    S.SUBMITTING: frozenset({S.RECEIVED, S.CHECKING, S.FAILED, S.DELETED, S.KILLED}),
    S.RECEIVED: frozenset({S.SCOUTING, S.CHECKING, S.STAGING, S.WAITING, S.FAILED, S.DELETED, S.KILLED}),
    S.CHECKING: frozenset({S.SCOUTING, S.STAGING, S.WAITING, S.RESCHEDULED, S.FAILED, S.DELETED, S.KILLED}),
    S.SCOUTING: frozenset({S.CHECKING, S.FAILED, S.STALLED, S.KILLED}),
    S.STAGING: frozenset({S.CHECKING, S.WAITING, S.FAILED, S.KILLED}),
    S.WAITING: frozenset({S.MATCHED, S.RESCHEDULED, S.DELETED, S.KILLED}),
    S.MATCHED: frozenset({S.RUNNING, S.STALLED, S.FAILED, S.RESCHEDULED, S.KILLED}),
    S.RESCHEDULED: frozenset({S.WAITING, S.RECEIVED, S.DELETED, S.FAILED, S.KILLED}),
    S.RUNNING: frozenset({S.STALLED, S.DONE, S.FAILED, S.RESCHEDULED, S.COMPLETING, S.KILLED, S.RECEIVED}),
    S.STALLED: frozenset({S.RUNNING, S.COMPLETING, S.DONE, S.FAILED, S.RESCHEDULED, S.KILLED}),
    S.COMPLETING: frozenset({S.DONE, S.FAILED, S.COMPLETED, S.STALLED, S.RESCHEDULED, S.KILLED}),
    S.COMPLETED: frozenset({S.DONE, S.FAILED}),
    S.DONE: frozenset({S.DELETED}),
    S.FAILED: frozenset({S.RESCHEDULED, S.DELETED}),
    S.KILLED: frozenset({S.DELETED}),
    S.DELETED: frozenset(),
}
FINAL = frozenset({S.DONE, S.FAILED, S.KILLED, S.DELETED})
# A pilot holds the job in these: it must send heartbeats.
HELD = frozenset({S.MATCHED, S.RUNNING, S.STALLED, S.COMPLETING})
# No pilot has had the job yet, or it is to have another one.
BEFORE = frozenset({S.SUBMITTING, S.RECEIVED, S.CHECKING, S.SCOUTING, S.STAGING, S.WAITING, S.RESCHEDULED})


def can_become(to: Status) -> frozenset[Status]:
    """The statuses from which `to` may follow."""
    return frozenset(status for status, following in TRANSITIONS.items() if to in following)
