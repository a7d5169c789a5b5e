"""What tests of notices do: set wishes through the API, let time pass, run the tasks as workers do."""

from datetime import timedelta
from typing import Any

from celery import current_app
from sqlalchemy import select, update

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import reading, session
from diracx_tasks.engine import history
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.notices import tasks
from diracx_tasks.notices.tables import Message, Notice
from tests.api.caller import ALICE, Api
from tests.unit.notices.receivers import Post

ADDRESS = "alice@example.org"


def wish(api: Api, by: User = ALICE, **wanted: Any) -> dict[str, Any]:
    """Change somebody's wishes; what he has then."""
    answer = api.patch("/api/notices", wanted, by=by)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def by_mail(api: Api, post: Post, by: User = ALICE, address: str = ADDRESS, **wanted: Any) -> None:
    """Have somebody told by mail, at an address that he has confirmed."""
    wish(api, by, mail=address, **wanted)
    work()
    answer = api.post("/api/notices/confirm", {"code": post.code()}, by=by)
    assert (answer.status_code, answer.json()["mail"]) == (200, address), answer.text
    post.mails.clear()


def shown(api: Api, by: User = ALICE) -> dict[str, Any]:
    """What somebody is told."""
    found: dict[str, Any] = api.get("/api/notices", by=by).json()
    return found


def work() -> list[str]:
    """Run what of ours is in the outbox, once each, as a worker does: the tasks."""
    with reading() as db:
        query = select(Outbox.key, Outbox.task, Outbox.arguments).where(Outbox.task.startswith("notices."))
        rows = db.execute(query.order_by(Outbox.key)).all()
    for key, task, arguments in rows:
        current_app.tasks[task].apply(kwargs=arguments, task_id=key, headers={"outbox": key})
    history.flush()
    return [row.task for row in rows]


def told(seconds: float = 61) -> None:
    """Let so much time pass, and everything be sent that is due then."""
    age(seconds)
    tasks.gather.run()
    work()


def age(seconds: float) -> None:
    """Have everything happened so many seconds earlier."""
    times = (
        (Notice, Notice.notice_id, (Notice.happened_at,)),
        (Message, Message.message_id, (Message.made_at, Message.ended_at, Message.sending_until)),
    )
    with session() as db:
        for table, key, columns in times:
            for row in db.execute(select(key, *columns)).all():
                earlier = {
                    column: moment - timedelta(seconds=seconds)
                    for column, moment in zip(columns, row[1:], strict=True)
                    if moment is not None
                }
                if earlier:
                    db.execute(update(table).where(key == row[0]).values(earlier))
