"""What a user wants to be told, in which ways, how often: shown, changed, forgotten."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, inspect, select, update
from sqlalchemy.orm import Session

from diracx_tasks.auth.sealed import fernet
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed, utc, utc_now
from diracx_tasks.core.errors import BadRequest, Conflict, NotFound
from diracx_tasks.core.settings import settings
from diracx_tasks.core.unless_there import add_unless_there
from diracx_tasks.notices import confirm, mail, reach
from diracx_tasks.notices.addresses import mail_address
from diracx_tasks.notices.events import Channel, Event, State
from diracx_tasks.notices.tables import Message, Notice, Watch, Wishes

PURPOSE = "secrets of webhooks"
# What nobody has said: his own kills are no news to him.
EVENTS = (Event.DONE, Event.FAILED, Event.ATTENTION)
CHOICES = (*EVENTS, Event.KILLED)
LONGEST_INTERVAL = 7 * 86400
# Between two tests, in seconds.
TEST_PAUSE = 60
SHOWN = 5
TEXTS = ("mail", "new_mail", "code", "webhook", "secret")


@dataclass(frozen=True)
class Change:
    """What is to be otherwise; None leaves what is there, an empty text takes a way to tell out.

    `interval` is in seconds. A webhook without a `secret` gets a new one.
    """

    mail: str | None = None
    webhook: str | None = None
    secret: str | None = None
    events: Sequence[Event] | None = None
    interval: int | None = None


def show(db: Session, *, by: User) -> dict[str, Any]:
    """What a user wants, what waits for the next message, and what became of the newest ones."""
    found = db.get(Wishes, (by.vo, by.name)) or Wishes(**_new(by))
    mine = (Message.vo == by.vo, Message.owner == by.name)
    newest = select(Message).where(*mine).order_by(Message.message_id.desc()).limit(SHOWN)
    waiting = select(func.count()).where(
        Notice.message_id.is_(None), Notice.vo == by.vo, Notice.owner == by.name
    )
    groups = select(Watch.group).where(Watch.vo == by.vo, Watch.owner == by.name).order_by(Watch.group)
    return {
        "mail": found.mail,
        "unconfirmed_mail": found.new_mail,
        "webhook": found.webhook,
        "events": found.events,
        "interval": _interval(found.interval),
        "sends_mail": mail.is_configured(),
        "waiting": int(db.scalar(waiting) or 0),
        "groups": list(db.scalars(groups)),
        "messages": [_told(one) for one in db.scalars(newest)],
        "secret": None,
    }


def change(db: Session, wanted: Change, *, by: User) -> dict[str, Any]:
    """Change what a user wants; answers as `show`, with the webhook's secret if there is a new one.

    A new mail address gets a code, and nothing else before that was said here (`confirm`).
    """
    found = hold(db, by) or _added(db, by)
    if wanted.events is not None:
        if other := set(wanted.events) - set(CHOICES):
            raise BadRequest(f"{min(other)!r} cannot be chosen: choose of {', '.join(CHOICES)}")
        found.events = [event.value for event in CHOICES if event in wanted.events]
    if wanted.interval is not None:
        found.interval = _interval(wanted.interval)
    if wanted.mail is not None:
        _set_mail(db, found, wanted.mail)
    secret = _set_webhook(db, found, wanted)
    db.flush()
    return {**show(db, by=by), "secret": secret}


def forget(db: Session, *, by: User) -> None:
    """Forget what a user wants and everything that he was or is to be told; twice is harmless.

    How many codes he had sent stays for a day: or he could have more by beginning anew.
    """
    for table in (Watch, Message):
        changed(db, delete(table).where(table.vo == by.vo, table.owner == by.name))
    # That he has just had a test stays as well, or he could have one after the other.
    is_new_test = (Notice.event == Event.TEST) & (Notice.happened_at > utc_now(-TEST_PAUSE))
    changed(db, delete(Notice).where(Notice.vo == by.vo, Notice.owner == by.name, ~is_new_test))
    found = hold(db, by)
    if found is not None and found.codes:
        for name in TEXTS:
            setattr(found, name, "")
    elif found is not None:
        db.delete(found)


def hold(db: Session, by: User) -> Wishes | None:
    """A user's row, held until the transaction ends."""
    mine = (Wishes.vo == by.vo, Wishes.owner == by.name)
    return db.scalars(select(Wishes).where(*mine).with_for_update()).one_or_none()


def must_have(db: Session, by: User) -> Wishes:
    """A user's row, held; NotFound when he has never said what he wants."""
    found = hold(db, by)
    if found is None:
        raise NotFound(
            f"{by.name} of {by.vo} is not told anything: say first where to (`diracx notices set`)"
        )
    return found


def secret_of(found: Wishes) -> str:
    """The secret that a webhook's calls are signed with; cryptography's InvalidToken when its key is gone."""
    return fernet(PURPOSE).decrypt(found.secret).decode()


def _new(by: User) -> dict[str, Any]:
    """Of a user who has said nothing yet, by attributes."""
    numbers = {"interval": settings().notice_interval_seconds, "guesses": 0, "codes": 0}
    whose = {"vo": by.vo, "owner": by.name, "events": [event.value for event in EVENTS]}
    return {**whose, **numbers, **dict.fromkeys(TEXTS, "")}


def _added(db: Session, by: User) -> Wishes:
    columns = {attribute: column.name for attribute, column in inspect(Wishes).columns.items()}
    # Of two first requests at once the second finds the first's row.
    add_unless_there(db, Wishes, [{columns[name]: value for name, value in _new(by).items()}])
    return must_have(db, by)


def _interval(seconds: int) -> int:
    return min(max(seconds, settings().notice_interval_seconds), LONGEST_INTERVAL)


def _set_mail(db: Session, found: Wishes, text: str) -> None:
    if not text:
        _forget_waiting(db, found, Channel.MAIL)
        found.mail = found.new_mail = found.code = ""
        return
    address = mail_address(text)
    if address == found.mail:
        found.new_mail = found.code = ""
        return
    if not mail.is_configured():
        raise Conflict("this installation sends no mail: its operator has not set DIRACX_MAIL_URL")
    # The code that another address had does not confirm this one.
    found.new_mail, found.code = address, ""
    confirm.ask_for_code(db, found)


def _set_webhook(db: Session, found: Wishes, wanted: Change) -> str | None:
    """Where calls go and how they are signed; the secret if it is a new one."""
    if wanted.webhook == "":
        _forget_waiting(db, found, Channel.WEBHOOK)
        found.webhook = found.secret = ""
    elif wanted.webhook:
        reach.target_of(wanted.webhook)
    if wanted.secret and not (wanted.webhook or found.webhook):
        raise BadRequest("a secret is for a webhook, and there is none")
    is_new = bool(wanted.webhook) and wanted.webhook != found.webhook
    if wanted.webhook:
        found.webhook = wanted.webhook
    if not (is_new or wanted.secret):
        return None
    # Never the one of another address: whoever has that could sign for this one.
    secret = wanted.secret or secrets.token_urlsafe(32)
    found.secret = fernet(PURPOSE).encrypt(secret.encode()).decode()
    return secret


def _forget_waiting(db: Session, found: Wishes, channel: Channel) -> None:
    """Nothing that waits for a way is told when that is taken out."""
    mine = (Notice.vo == found.vo, Notice.owner == found.owner, Notice.channel == channel)
    changed(db, delete(Notice).where(Notice.message_id.is_(None), *mine))
    his = (Message.vo == found.vo, Message.owner == found.owner, Message.channel == channel)
    dropped = {"state": State.REFUSED, "error": "you have taken this way out", "ended_at": utc_now()}
    changed(db, update(Message).where(*his, Message.state == State.WAITING).values(dropped))


def _told(one: Message) -> dict[str, Any]:
    times = {"made_at": utc(one.made_at), "ended_at": utc(one.ended_at)}
    return {
        "message_id": one.message_id,
        "channel": one.channel,
        "state": one.state,
        **times,
        "error": one.error,
    }
