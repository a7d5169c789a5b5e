"""Sending one message: taken by one sender at a time, sent without a transaction, then settled.

Who dies between sending and settling leaves it taken: it is sent once more when its time is over, with the
same Message-ID or delivery id, by which a receiver can tell. Never is one lost.
"""

from dataclasses import dataclass
from typing import Any

from cryptography.fernet import InvalidToken
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, database_time, utc_now
from diracx_tasks.core.errors import Conflict, DiracXError, SettingsError, Unavailable
from diracx_tasks.notices import mail, webhook
from diracx_tasks.notices.compose import Letter, compose
from diracx_tasks.notices.events import Channel, State
from diracx_tasks.notices.refused import Refused
from diracx_tasks.notices.tables import Message, Wishes
from diracx_tasks.notices.wishes import secret_of

# Longer than sending can take.
PATIENCE = 120.0
LONGEST = 1000
OPEN = (State.WAITING, State.GIVEN_UP)


@dataclass(frozen=True)
class Parcel:
    """A message that is to be sent now: what it says, and where it goes."""

    message_id: int
    channel: str
    token: str
    letter: Letter
    place: str
    secret: str


@dataclass(frozen=True)
class Outcome:
    """What came of sending: `trouble` is what another try may cure."""

    state: State
    words: str = ""
    trouble: DiracXError | None = None


def take(db: Session, message_id: int) -> float | None:
    """Take a message for sending: 0 when it is ours now, None when there is nothing to send any more.

    Seconds to wait when another has taken it, and may have sent it.
    """
    mine = (Message.message_id == message_id, Message.state.in_(OPEN))
    is_free = Message.sending_until.is_(None) | (Message.sending_until < utc_now())
    values = {"sending_until": utc_now(PATIENCE), "state": State.WAITING}
    if changed(db, update(Message).where(*mine, is_free).values(values)):
        return 0.0
    until = db.scalar(select(Message.sending_until).where(*mine))
    return None if until is None else max(1.0, (until - database_time(db)).total_seconds() + 1)


def parcel(db: Session, message_id: int) -> Parcel | Outcome:
    """What is to be sent, and where; an outcome when that cannot be."""
    message = db.get_one(Message, message_id)
    wishes = db.get(Wishes, (message.vo, message.owner))
    is_mail = message.channel == Channel.MAIL
    place = "" if wishes is None else wishes.mail if is_mail else wishes.webhook
    if wishes is None or not place:
        return Outcome(State.REFUSED, "you do not want to be told so any more")
    try:
        secret = "" if is_mail else secret_of(wishes)
    except InvalidToken:
        return Outcome(State.REFUSED, "the webhook's secret cannot be read any more: set the webhook again")
    return Parcel(message_id, message.channel, message.token, compose(db, message), place, secret)


def attempt(found: Parcel) -> Outcome:
    """Send it; without a database, for it may take its time."""
    letter, token = found.letter, f"notice-{found.message_id}-{found.token}"
    try:
        if found.channel == Channel.MAIL:
            mail.send(found.place, letter.subject, letter.text, token)
        else:
            webhook.send(found.place, found.secret, {"id": token, **letter.body}, token)
    except Refused as error:
        return Outcome(State.REFUSED, str(error))
    except (Unavailable, Conflict, SettingsError) as error:
        return Outcome(State.WAITING, str(error), error)
    return Outcome(State.SENT)


def settle(db: Session, message_id: int, outcome: Outcome) -> None:
    """Note what came of sending a message that we have taken; one that waits is free again."""
    values: dict[str, Any] = {"state": outcome.state, "error": outcome.words[:LONGEST], "sending_until": None}
    if outcome.state is not State.WAITING:
        values["ended_at"] = utc_now()
    mine = (Message.message_id == message_id, Message.state == State.WAITING)
    changed(db, update(Message).where(*mine).values(values))
