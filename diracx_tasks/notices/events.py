"""What users may be told of, in which ways, and how far a message to them is."""

from enum import StrEnum


class Channel(StrEnum):
    """How somebody is told."""

    MAIL = "mail"
    WEBHOOK = "webhook"


class Event(StrEnum):
    """What somebody may want to be told of; `attention` is what goes on and needs him."""

    DONE = "done"
    FAILED = "failed"
    KILLED = "killed"
    ATTENTION = "attention"
    # Asked for each time: that a group of jobs has ended, and a trial.
    JOBS = "jobs"
    TEST = "test"


class State(StrEnum):
    """How far a message is; one that was given up is a dead letter as well."""

    WAITING = "Waiting"
    SENT = "Sent"
    REFUSED = "Refused"
    GIVEN_UP = "Given up"
