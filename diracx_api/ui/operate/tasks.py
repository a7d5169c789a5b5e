"""Tasks that wait, run and have ended; and one of them with all that is known of it."""

from typing import Annotated, Literal

from fastapi import Form, Path, Query, Request, Response
from pydantic import Field

from diracx_api.deps import Db, ReadDb
from diracx_api.models.fields import LARGEST
from diracx_api.ui import filters, render
from diracx_api.ui.operate.subjects import page_of, task_page
from diracx_api.ui.router import Me, Pages
from diracx_tasks.auth import rights
from diracx_tasks.engine import dead_letters, operate, overview

router = Pages("/operate")
EVERY = 10
PER_PAGE = 100
STATES = ("Waiting", "Backing off", "Done", "Failed", "Dead", "Revoked")
Key = Annotated[str, Form(max_length=128)]


class Filters(filters.Filters):
    """Which tasks are shown; everything empty: all."""

    state: Literal["", "Waiting", "Backing off", "Done", "Failed", "Dead", "Revoked"] = ""
    task: str = Field("", max_length=128)
    subject: str = Field("", max_length=64)
    before: int | None = Field(None, ge=1, le=LARGEST)


@router.get("/tasks", right=rights.operate)
def list_tasks(db: ReadDb, request: Request, me: Me, asked: Annotated[Filters, Query()]) -> Response:
    """Those that wait or run, then those that have ended, newest first."""
    rows = overview.page(db, **asked.stated, before=asked.before, limit=PER_PAGE)
    ended = [row["run_id"] for row in rows if row["run_id"]]
    return render.page(
        request,
        "operate/tasks.html",
        # What is behind a page does not change any more.
        every=None if asked.before else EVERY,
        rows=rows,
        waiting=overview.waiting(db, **asked.stated) if len(rows) == PER_PAGE and not ended else 0,
        all_ended=LARGEST,
        older=min(ended) if len(rows) == PER_PAGE and ended else None,
        asked=asked,
        stated=asked.stated,
        states=STATES,
        known=[row["task"] for row in overview.registered()],
        page_of=page_of,
        task_page=task_page,
    )


@router.get("/task/{key:path}", right=rights.operate)
def show_task(db: ReadDb, request: Request, me: Me, key: Annotated[str, Path(max_length=128)]) -> Response:
    """Everything under a key: arguments, tries, errors, parent and children."""
    found = overview.describe(db, key)
    return render.page(
        request,
        "operate/task.html",
        every=EVERY if found["waiting"] else None,
        found=found,
        state=found["waiting"]["state"] if found["waiting"] else _last_state(found),
        may_retry=bool(found["waiting"]) or any(one["state"] == dead_letters.DEAD for one in found["dead"]),
        page_of=page_of,
        task_page=task_page,
    )


@router.post("/task-retry", right=rights.operate)
def retry_task(db: Db, request: Request, me: Me, key: Key) -> Response:
    """Have a task run now that waits, or the newest dead letter under the key."""
    operate.retry(db, key, by=me.name)
    return render.onwards(request, task_page(key), f"{key} runs again.")


@router.post("/task-revoke", right=rights.operate)
def revoke_task(db: Db, request: Request, me: Me, key: Key) -> Response:
    """Take a task out that waits."""
    operate.revoke(db, key)
    return render.onwards(request, "/ui/operate/tasks", f"{key} is revoked.")


@router.post("/task-stop", right=rights.operate)
def stop_task(db: Db, request: Request, me: Me, key: Key) -> Response:
    """Take a task out, and stop it where it runs."""
    operate.revoke(db, key, is_running=True)
    return render.onwards(request, "/ui/operate/tasks", f"{key} is stopped.")


def _last_state(found: overview.Row) -> str:
    runs, letters = found["runs"], found["dead"]
    return str(runs[0]["state"] if runs else letters[0]["state"])
