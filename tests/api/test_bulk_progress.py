"""How far an action on many jobs is, what has stopped it, and until when that is told."""

from sqlalchemy import update

from diracx_tasks.core.database import session, utc_now
from diracx_tasks.engine import dead_letters
from diracx_tasks.jobs import bulk, tasks
from diracx_tasks.jobs.bulk_tables import BulkAction
from tests.api.bulk import WAITING, asked, carried_out
from tests.api.caller import ALICE, Api
from tests.api.stores import installation, migrated
from tests.builders import a_user, an_administrator
from tests.unit.matching.ends import waiting

__all__ = ["installation", "migrated"]
ADMIN = an_administrator()


def test_progress_is_told_to_who_asked_and_to_administrators(api: Api) -> None:
    waiting(2)
    path = asked(api, "kill", WAITING)["follow"]
    for who, code in ((a_user("bob"), 403), (a_user(vo="belle"), 404), (ADMIN, 200), (ALICE, 200)):
        assert api.get(path, by=who).status_code == code
    found = api.get(path).json()
    assert (found["found"], found["done"], found["ended_at"]) == (2, 0, None)
    assert (found["action"], found["changed"], found["kept"]) == ("kill", {}, [])


def test_actions_are_forgotten_30_days_after_their_end(api: Api) -> None:
    waiting()
    for _ in range(2):
        number = carried_out(api, "kill", WAITING)["bulk_id"]
    with session() as db:
        old = update(BulkAction).where(BulkAction.bulk_id == number)
        db.execute(old.values(ended_at=utc_now(-bulk.KEPT_SECONDS - 60)))
    asked(api, "kill", all=True)
    assert tasks.forget_bulk.run() == "1 forgotten"
    assert api.get(f"/api/jobs/bulk/{number}").status_code == 404


def test_what_has_stopped_an_action_is_told_until_it_is_tried_again(api: Api) -> None:
    waiting(2)
    found = asked(api, "kill", WAITING)
    key = f"bulk-{found['bulk_id']}.act"
    dead = {"task": bulk.TASK, "key": key, "arguments": {"bulk_id": found["bulk_id"]}}
    more = {"tries": 9, "enqueued_by": "", "parent": None}
    with session() as db:
        letter = dead_letters.bury(
            db, {**dead, **more}, since=None, error="Traceback:\nRuntimeError: no room"
        )
    assert api.get(found["follow"]).json()["trouble"] == "RuntimeError: no room"
    with session() as db:
        dead_letters.retry(db, letter, by="admin")
    assert api.get(found["follow"]).json()["trouble"] is None
