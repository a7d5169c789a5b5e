"""The list of jobs: filters in the address, and counts of what they leave."""

from typing import Annotated, Any

import orjson
from fastapi import Query, Request, Response
from pydantic import Field

from diracx_api.deps import ReadDb
from diracx_api.ui import filters, render
from diracx_api.ui.router import Me, Pages
from diracx_tasks.auth import rights
from diracx_tasks.auth.tokens import User
from diracx_tasks.jobs import search

router = Pages("/jobs")
PER_PAGE = 50
EVERY = 10
# What the address calls a filter, and what the job's column is called.
FILTERS = {
    "status": "Status",
    "site": "Site",
    "owner": "Owner",
    "group": "JobGroup",
    "type": "JobType",
    "minor": "MinorStatus",
}
SHOWN = ["JobID", "JobName", "Status", "MinorStatus", "ApplicationStatus", "Site", "Owner", "JobGroup"]
TIMES = ["SubmissionTime", "LastUpdateTime"]


class Filters(filters.Newest):
    """Which jobs are shown; everything empty: all."""

    columns = FILTERS
    status: str = Field("", max_length=64)
    site: str = Field("", max_length=128)
    owner: str = Field("", max_length=64)
    group: str = Field("", max_length=64)
    type: str = Field("", max_length=64)
    minor: str = Field("", max_length=128)
    name: str = Field("", max_length=128)

    def conditions(self, *without: str) -> list[dict[str, Any]]:
        """As a search has them, leaving some out; of the name a part is enough."""
        found = super().conditions(*without)
        if self.name and "name" not in without:
            found.append({"parameter": "JobName", "operator": "like", "value": f"%{_plain(self.name)}%"})
        return found


@router.get("", right=rights.read)
def list_jobs(db: ReadDb, request: Request, me: Me, asked: Annotated[Filters, Query()]) -> Response:
    """Jobs of the VO, newest first."""
    found = search.search(db, asked.query("JobID", [*SHOWN, *TIMES], PER_PAGE), by=me)
    turn = asked.turn([orjson.loads(row) for row in found.rows], lambda job: job["JobID"], PER_PAGE)
    statuses = _counts(db, "Status", asked.conditions("status"), me)
    return render.page(
        request,
        "jobs.html",
        every=EVERY,
        turn=turn,
        total=sum(count for name, count in statuses if asked.status in ("", name)),
        asked=asked,
        stated=asked.stated,
        statuses=statuses,
        columns=FILTERS | {"name": "JobName"},
        others=0 if turn.rows else sum(count for _, count in _counts(db, "Status", [], me)),
    )


def _counts(db: Any, column: str, conditions: list[dict[str, Any]], me: User) -> list[tuple[str, int]]:
    """How many jobs there are of each value, the most first."""
    rows = [orjson.loads(row) for row in search.summary(db, [column], conditions, by=me)]
    return sorted(((row[column], row["count"]) for row in rows), key=lambda one: -one[1])


def _plain(text: str) -> str:
    """What a LIKE takes literally."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
