"""Putting together what a user is to be told: one message for all that has happened since the last one."""

import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, func, select, tuple_, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, database_time, utc_now
from diracx_tasks.core.settings import settings
from diracx_tasks.engine import dead_letters, outbox
from diracx_tasks.notices.events import Channel, State
from diracx_tasks.notices.tables import Message, Notice, Wishes

PAGE = 500
# A message that was just put together has its task in a moment.
YOUNG = 30.0


class Whom(NamedTuple):
    """A user, and a way to tell him."""

    vo: str
    owner: str
    channel: str


def due(db: Session) -> Iterator[Whom]:
    """Who is to be told something now: it has waited for more, and the pause after the last message is over.

    Nobody gets a new message while there is one that he has not got yet.
    """
    whose = (Notice.vo, Notice.owner, Notice.channel)
    waiting = select(*whose, func.min(Notice.happened_at)).where(Notice.message_id.is_(None))
    last: tuple[str, ...] = ("", "", "")
    moment = database_time(db)
    ripe = moment - timedelta(seconds=settings().notice_seconds)
    while rows := db.execute(
        waiting.where(tuple_(*whose) > last).group_by(*whose).order_by(*whose).limit(PAGE)
    ).all():
        for vo, owner, channel, first in rows:
            if first <= ripe and not _must_wait(db, Whom(vo, owner, channel), moment):
                yield Whom(vo, owner, channel)
        last = tuple(rows[-1][:3])


def put_together(db: Session, whom: Whom) -> int | None:
    """Make a message of all that waits, and have it sent; its number, None when there is nothing.

    What waits for a way that a user does not want any more is dropped.
    """
    waits = (Notice.message_id.is_(None), *_mine(whom))
    if not _is_wanted(db, whom):
        changed(db, delete(Notice).where(*waits))
        return None
    made = Message(
        **whom._asdict(), token=secrets.token_hex(16), state=State.WAITING, made_at=utc_now(), error=""
    )
    db.add(made)
    db.flush()
    # Of two that do this at once, one finds nothing any more.
    if not changed(db, update(Notice).where(*waits).values(message_id=made.message_id)):
        db.delete(made)
        return None
    _ask(db, made.message_id)
    return made.message_id


def stuck(db: Session) -> Iterator[int]:
    """Messages that are to be sent and that nobody sends."""
    old = (Message.state == State.WAITING, Message.made_at < utc_now(-YOUNG))
    query = select(Message.message_id).where(*old).order_by(Message.message_id)
    last = 0
    while found := list(db.scalars(query.where(Message.message_id > last).limit(PAGE))):
        known = outbox.known(db, [_key(one) for one in found])
        yield from (one for one in found if _key(one) not in known)
        last = found[-1]


def put_right(db: Session, message_id: int) -> None:
    """Have a message that is stuck sent; one whose task is a dead letter is given up.

    An operator may still retry that.
    """
    if not dead_letters.of_keys(db, [_key(message_id)]):
        _ask(db, message_id)
        return
    mine = (Message.message_id == message_id, Message.state == State.WAITING)
    changed(db, update(Message).where(*mine).values(state=State.GIVEN_UP, ended_at=utc_now()))


def _must_wait(db: Session, whom: Whom, moment: datetime) -> bool:
    of_user = (Message.vo == whom.vo, Message.owner == whom.owner, Message.channel == whom.channel)
    newest = select(Message.state, Message.made_at).where(*of_user).order_by(Message.message_id.desc())
    found = db.execute(newest.limit(1)).one_or_none()
    if found is None:
        return False
    if found.state == State.WAITING:
        return True
    mine = (Wishes.vo == whom.vo, Wishes.owner == whom.owner)
    wanted = db.scalar(select(Wishes.interval).where(*mine)) or 0
    pause = timedelta(seconds=max(wanted, settings().notice_interval_seconds))
    return bool(found.made_at + pause > moment)


def _is_wanted(db: Session, whom: Whom) -> bool:
    place = Wishes.mail if whom.channel == Channel.MAIL else Wishes.webhook
    mine = (Wishes.vo == whom.vo, Wishes.owner == whom.owner, place != "")
    return db.execute(select(Wishes.vo).where(*mine)).first() is not None


def _mine(whom: Whom) -> tuple[ColumnElement[bool], ...]:
    return (Notice.vo == whom.vo, Notice.owner == whom.owner, Notice.channel == whom.channel)


def _key(message_id: int) -> str:
    return f"message-{message_id}.send"


def _ask(db: Session, message_id: int) -> None:
    outbox.enqueue(db, "notices.send", _key(message_id), message_id=message_id)
