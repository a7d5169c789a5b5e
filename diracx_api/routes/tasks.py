"""Tasks, for administrators of the service: what waits, ran and died, queues, schedule, locks, limits."""

from typing import Any

from diracx_api.deps import Db, Me, ReadDb, Router
from diracx_api.models import tasks as models
from diracx_api.models.fields import unlike
from diracx_tasks.auth import rights
from diracx_tasks.engine import broker, dead_letters, operate, overview, schedules
from diracx_tasks.engine.timing import Timing

router = Router("tasks", "/api/tasks")
Rows = list[dict[str, Any]]
Row = dict[str, Any]


@router.get("", right=rights.operate)
def list_tasks(
    db: ReadDb,
    me: Me,
    *,
    state: models.State = None,
    task: models.Task = None,
    subject: models.Subject = None,
    before: models.Before = None,
    limit: models.Limit = 100,
) -> Rows:
    """Tasks that wait or run, then runs that have ended, newest first; `before` is the last `run_id` seen."""
    return overview.page(db, state=state, task=task, subject=subject, before=before, limit=limit)


@router.get("/registered", right=rights.operate)
def list_registered(me: Me) -> Rows:
    """All tasks with what they declare and the configuration says."""
    return overview.registered()


@router.get("/queues", right=rights.operate)
def get_queues(db: ReadDb, me: Me) -> Row:
    """The nine queues, the outbox, dead letters, and how late the schedule is."""
    return {"queues": overview.queues(), **overview.totals(db)}


@router.get("/workers", right=rights.operate)
def list_workers(me: Me) -> Rows:
    """The workers that answer, their queues, and what they run now."""
    return broker.workers()


@router.get("/limits", right=rights.operate)
def list_limits(me: Me) -> Rows:
    """Every limit with how much of it is used now, object by object."""
    return overview.limits()


@router.get("/locks", right=rights.operate)
def list_locks(me: Me) -> Rows:
    """Locks that are held now."""
    return overview.held_locks()


@router.post("/locks/release", right=rights.operate, response_model=models.Released)
def release_lock(me: Me, body: models.LockName) -> Any:
    """Take a lock from whoever holds it; the holder is told when it asks."""
    return {"name": body.name, "holders": operate.release_lock(body.name)}


@router.get("/schedule", right=rights.operate)
def list_schedule(db: ReadDb, me: Me) -> Rows:
    """What is due when, when it last ran and how that went."""
    return overview.schedule(db)


@router.get("/schedule/{name}", right=rights.operate)
def get_schedule(db: ReadDb, me: Me, name: models.Name) -> Row:
    """One entry with its next times."""
    found = schedules.find(db, name)
    coming = [f"{moment.isoformat()}Z" for moment in schedules.preview(found)]
    return {**overview.schedule_row(found), "coming": coming}


@router.patch("/schedule/{name}", right=rights.operate)
def set_schedule_state(db: Db, me: Me, name: models.Name, body: models.EntryState) -> Row:
    """Pause, resume, or only note what would be enqueued."""
    return overview.schedule_row(schedules.set_state(db, name, body.state))


@router.patch("/schedule/{name}/timing", right=rights.operate)
def set_schedule_timing(db: Db, me: Me, name: models.Name, body: models.Timing) -> Row:
    """Have an entry be due at other times than code and configuration say."""
    timing = None if body.default else Timing(body.every, body.cron, body.rrule)
    return overview.schedule_row(schedules.set_timing(db, name, timing))


@router.post("/schedule/{name}/run", right=rights.operate, response_model=models.Keyed)
def run_schedule(db: Db, me: Me, name: models.Name) -> Any:
    """Run an entry now; its next time stays."""
    return {"key": schedules.run_now(db, name)}


@router.get("/dead", right=rights.operate)
def list_dead(
    db: ReadDb,
    me: Me,
    *,
    task: models.Task = None,
    resolved: models.Resolved = False,
    before: models.Before = None,
    limit: models.Limit = 100,
) -> Rows:
    """Tasks whose tries are used up, newest first; `before` is the last `letter_id` seen."""
    state = None if resolved else dead_letters.DEAD
    return overview.dead(db, task=task, state=state, before=before, limit=limit)


@router.get("/dead/{letter_id}", right=rights.operate)
def get_dead(db: ReadDb, me: Me, letter_id: models.LetterId) -> Row:
    """One dead letter with its arguments and every error."""
    return overview.letter_row(dead_letters.find(db, letter_id))


@router.post("/dead/{letter_id}/retry", right=rights.operate, response_model=models.Keyed)
def retry_dead(db: Db, me: Me, letter_id: models.LetterId) -> Any:
    """Have the task run again, its tries counted anew."""
    return {"key": dead_letters.retry(db, letter_id, by=me.name)}


@router.post("/dead/{letter_id}/drop", right=rights.operate)
def drop_dead(db: Db, me: Me, letter_id: models.LetterId) -> Row:
    """Say that it needs nothing more."""
    dead_letters.drop(db, letter_id, by=me.name)
    return overview.letter_row(dead_letters.find(db, letter_id))


@router.post(
    "/call",
    right=rights.operate,
    status_code=202,
    response_model=models.Keyed,
    responses=unlike({"type": "string"}, "The task does not take these arguments."),
)
def call_task(db: Db, me: Me, body: models.Call) -> Any:
    """Have a worker run a task, with its locks, limits and tries."""
    return {"key": operate.enqueue(db, body.task, body.arguments, key=body.key)}


@router.get("/{key:path}", right=rights.operate)
def get_task(db: ReadDb, me: Me, key: models.Key) -> Row:
    """Everything under a key: arguments, tries with their errors, parent and children, dead letters."""
    return overview.describe(db, key)


@router.post("/{key:path}/retry", right=rights.operate, response_model=models.Keyed)
def retry_task(db: Db, me: Me, key: models.Key) -> Any:
    """Run a task now that waits, or the newest dead letter under the key."""
    return {"key": operate.retry(db, key, by=me.name)}


@router.post("/{key:path}/revoke", right=rights.operate, response_model=models.Keyed)
def revoke_task(db: Db, me: Me, key: models.Key, terminate: models.Terminate = False) -> Any:
    """Take out a task that waits."""
    operate.revoke(db, key, is_running=terminate)
    return {"key": key}
