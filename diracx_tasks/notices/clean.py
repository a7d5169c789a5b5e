"""What was told long ago is forgotten; secrets of webhooks are sealed anew before their key goes."""

from cryptography.fernet import InvalidToken
from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.orm import Session

from diracx_tasks.auth.sealed import fernet
from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.core.settings import settings
from diracx_tasks.notices.events import State
from diracx_tasks.notices.tables import Message, Notice, Wishes
from diracx_tasks.notices.wishes import PURPOSE

PAGE = 900
Key = tuple[str, str]
FIRST: Key = ("", "")


def forget(db: Session) -> int:
    """Forget a page of messages that ended long ago, or what was told in them; how many rows."""
    old = (Message.state != State.WAITING, Message.ended_at < utc_now(-settings().notice_days * 86400))
    ids = list(db.scalars(select(Message.message_id).where(*old).limit(PAGE)))
    if not ids:
        return 0
    # A message may tell a hundred thousand things.
    told = list(db.scalars(select(Notice.notice_id).where(Notice.message_id.in_(ids)).limit(PAGE)))
    if told:
        return changed(db, delete(Notice).where(Notice.notice_id.in_(told)))
    return changed(db, delete(Message).where(Message.message_id.in_(ids)))


def forget_empty(db: Session) -> int:
    """Forget users who want nothing and have asked for no code for a day; answers how many."""
    nothing = (Wishes.mail == "", Wishes.new_mail == "", Wishes.webhook == "")
    return changed(db, delete(Wishes).where(*nothing, Wishes.codes_since < utc_now(-86400)))


def seal_anew(db: Session, after: Key = FIRST) -> Key | None:
    """Seal a page of secrets with the key that signs now; how far that came, None at the end.

    Those that cannot be read any more stay: their owner is told when they are needed.
    """
    key = (Wishes.vo, Wishes.owner)
    query = select(*key, Wishes.secret).where(Wishes.secret != "", tuple_(*key) > after)
    rows = db.execute(query.order_by(*key).limit(PAGE)).all()
    for vo, owner, secret in rows:
        mine = (Wishes.vo == vo, Wishes.owner == owner, Wishes.secret == secret)
        try:
            fresh = fernet(PURPOSE).rotate(secret).decode()
        except InvalidToken:
            continue
        changed(db, update(Wishes).where(*mine).values(secret=fresh))
    return (rows[-1][0], rows[-1][1]) if rows else None
