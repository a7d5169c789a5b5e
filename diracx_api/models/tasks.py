"""What goes in and comes out of the administrators' routes about tasks."""

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, model_validator

from diracx_api.models.fields import LARGEST, stated
from diracx_tasks.engine import overview

Key = Annotated[str, Path(max_length=128, description="The task's key.", examples=["workflow-42.advance"])]
Name = Annotated[str, Path(max_length=128, description="The entry's name.", examples=["jobs.optimize"])]
LetterId = Annotated[int, Path(ge=1, le=LARGEST, description="The dead letter's number.", examples=[7])]
Limit = Annotated[int, Query(ge=1, le=10000, description="How many at most.", examples=[100])]
Before = Annotated[
    int | None, Query(ge=1, le=LARGEST, description="Only those with lower numbers.", examples=[1000])
]
Task = Annotated[
    str | None, Query(max_length=128, description="Only this task.", examples=["workflows.advance"])
]

State = Annotated[
    overview.State | None,
    Query(
        description="Waiting (also those that are backing off), Done, Failed (tried again), Dead, Revoked.",
        examples=["Waiting"],
    ),
]
Subject = Annotated[
    str | None, Query(max_length=64, description="Only what is about this.", examples=["workflow-42"])
]
Resolved = Annotated[bool, Query(description="Also those that were retried or dropped.", examples=[False])]
Terminate = Annotated[bool, Query(description="Stop it also where it runs.", examples=[False])]


class Timing(BaseModel):
    """When an entry is due: exactly one of three, or as code and configuration say."""

    model_config = ConfigDict(extra="forbid")

    every: float | None = stated("Seconds between two times.", 30, default=None, ge=0.5, allow_inf_nan=False)
    cron: str | None = stated(
        "Minute, hour, day, month, day of week.", "0 3 * * *", default=None, max_length=255
    )
    rrule: str | None = stated("A recurrence rule (RFC 5545).", "FREQ=HOURLY", default=None, max_length=1024)
    default: bool = stated("As code and configuration say.", False, default=False)

    @model_validator(mode="after")
    def _one(self) -> "Timing":
        given = [one for one in (self.every, self.cron, self.rrule) if one is not None]
        if len(given) + self.default != 1:
            raise ValueError("state exactly one of every, cron, rrule and default")
        return self


class EntryState(BaseModel):
    """Whether an entry runs."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["On", "Paused", "DryRun"] = stated("What it is to be.", "Paused")


class Call(BaseModel):
    """A task to be run."""

    model_config = ConfigDict(extra="forbid")

    task: str = stated("The task's name.", "workflows.advance", max_length=128)
    arguments: dict[str, Any] = stated("Its arguments.", {"workflow_id": 42}, default={})
    key: str | None = stated(
        "The key to run it under.", "workflow-42.advance", default=None, min_length=1, max_length=128
    )


class LockName(BaseModel):
    """A lock that is held."""

    model_config = ConfigDict(extra="forbid")

    name: str = stated("Kind and key.", "workflow:42", max_length=255)


class Keyed(BaseModel):
    """The task that was asked for or changed."""

    key: str = stated("Its key.", "workflow-42.advance")


class Released(BaseModel):
    """A lock that was taken away."""

    name: str = stated("Kind and key.", "workflow:42")
    holders: int = stated("How many held it.", 1)
