"""What goes in and comes out of the routes for many jobs at once."""

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from diracx_api.models.fields import LARGEST, stated
from diracx_api.models.search import CONDITIONS, Condition
from diracx_tasks.jobs.act import Action

CONDITION = {"parameter": "Status", "operator": "eq", "value": "Waiting"}
TIME = "2026-11-23T10:00:00.123456Z"
BulkId = Annotated[int, Path(ge=0, le=LARGEST, description="The action's number.", examples=[3])]


class Bulk(BaseModel):
    """What is to be done, and to which jobs."""

    model_config = ConfigDict(extra="forbid")

    action: Action = stated("kill, delete, remove or reschedule.", "kill")
    search: list[Condition] = stated(
        "Conditions that all must hold, as in a search.", [CONDITION], default=[], max_length=CONDITIONS
    )
    all: bool = stated("Without conditions: every job that you may change is meant.", False, default=False)
    dry_run: bool = stated("Count only; nothing is changed.", True, default=False)


class BulkAnswer(BaseModel):
    """What was found, and where to follow what is done to it."""

    bulk_id: int | None = stated("The action's number; null of a dry run.", 3)
    follow: str | None = stated("GET this to see how far it has come.", "/api/jobs/bulk/3")
    found: int = stated("The jobs found that you may change.", 1200)
    by_status: dict[str, int] = stated("How many of these are in which status.", {"Waiting": 1200})
    possible: int = stated("How many of these are in a status from which it is possible.", 1200)
    others: int = stated("The jobs found that belong to others; they stay as they are.", 4)


class Kept(BaseModel):
    """Jobs that stay as they are."""

    reason: str = stated("Why.", "Done: it cannot become Killed")
    jobs: int = stated("How many.", 2)
    first: list[int] = stated("The first of them.", [17, 18], max_length=10)


class BulkProgress(BaseModel):
    """How far an action has come."""

    bulk_id: int = stated("Its number.", 3)
    action: str = stated("kill, delete, remove or reschedule.", "kill")
    search: list[dict[str, Any]] = stated("The conditions that were stated.", [CONDITION])
    found: int = stated("How many jobs were found when it was asked for.", 1200)
    done: int = stated("How many have had their turn; those that fit no more are not counted.", 900)
    changed: dict[str, int] = stated("How many became what.", {"Killed": 898})
    kept: list[Kept] = Field(
        description="Why others stay as they are.",
        examples=[[{"reason": "Done: it cannot become Killed", "jobs": 2, "first": [17, 18]}]],
    )
    asked_at: str = stated("When it was asked for, UTC.", TIME)
    ended_at: str | None = stated("When it ended, UTC; null: it goes on.", None)
    trouble: str | None = stated("What has stopped it, until operators retry the dead letter.", None)
