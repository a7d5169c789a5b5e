"""The sweep of the outbox: what was lost on its way to a worker is sent again."""

from datetime import UTC
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import after_commit, changed, utc_now
from diracx_tasks.engine import broker
from diracx_tasks.engine.asking import PATIENCE
from diracx_tasks.engine.declared import REGISTRY, served
from diracx_tasks.engine.outbox import PAGE, publish
from diracx_tasks.engine.overrides import effective
from diracx_tasks.engine.queues import DEFAULT
from diracx_tasks.engine.tables import Outbox

LONGEST = 900
# Less than PATIENCE: a lost message is found out one round later at most.
SLACK = 5.0


def sweep(db: Session) -> int:
    """Publish again a page of what is due; what its queue still holds gets more time. Answers how many."""
    if broker.is_forgetful():
        after_commit(db, broker.remember)
        lost_all = update(Outbox).where(Outbox.published > 0)
        changed(db, lost_all.values(due_at=utc_now(), published_at=None))
    query = select(Outbox).where(Outbox.due_at <= utc_now()).order_by(Outbox.due_at).limit(PAGE)
    rows = db.scalars(query).all()
    heads: dict[str, float | None] = {}
    lost = [row for row in rows if not _is_queued(row, heads)]
    lost_keys = {row.key for row in lost}
    for published in {row.published for row in rows}:
        patience = min(LONGEST, PATIENCE * 2.0 ** min(published, 10))
        keys = [row.key for row in rows if row.published == published]
        later = update(Outbox).where(Outbox.key.in_(keys)).values(due_at=utc_now(patience))
        changed(db, later)
        again = update(Outbox).where(Outbox.key.in_([key for key in keys if key in lost_keys]))
        changed(db, again.values(published=Outbox.published + 1, published_at=utc_now()))
    if lost:
        messages = [(row.task, row.key, row.arguments) for row in lost]
        after_commit(db, lambda: _publish_all(messages))
    return len(rows)


def _publish_all(messages: list[tuple[str, str, dict[str, Any]]]) -> None:
    for task, key, arguments in messages:
        publish(task, key, arguments)


def _is_queued(row: Outbox, heads: dict[str, float | None]) -> bool:
    """Whether the queue has not come to the row's last message yet, so that it cannot be lost."""
    if not row.published or row.published_at is None:
        return False
    # Tasks of an extension that is missing here go to the default queue.
    queue = DEFAULT
    if row.task in REGISTRY:
        queue = effective(served(row.task, row.arguments), row.arguments.get("vo")).queue
    if queue not in heads:
        heads[queue] = broker.oldest(queue)
    head = heads[queue]
    # The row is written before its message: transactions take a while, and clocks differ.
    return head is not None and head <= row.published_at.replace(tzinfo=UTC).timestamp() + SLACK
