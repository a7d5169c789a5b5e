"""What users want to be told, what they are to be told, and the messages that it goes into."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, Index, Integer, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from diracx_tasks.core.database import Table, Timestamp
from diracx_tasks.notices.events import State

Number = BigInteger().with_variant(Integer(), "sqlite")


def _exact(length: int) -> String:
    """A text in which upper and lower case differ, also on MariaDB."""
    return String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


Vo, Owner, Group, Subject, Address = (_exact(length) for length in (32, 64, 32, 64, 254))


class Wishes(Table):
    """What a user wants to be told, and where: `mail` is confirmed, `new_mail` is not yet."""

    __tablename__ = "NoticeWishes"

    vo: Mapped[str] = mapped_column("VO", Vo, primary_key=True)
    owner: Mapped[str] = mapped_column("Owner", Owner, primary_key=True)
    events: Mapped[list[str]] = mapped_column("Events", JSON)
    interval: Mapped[int] = mapped_column("IntervalSeconds", Integer)
    mail: Mapped[str] = mapped_column("Mail", Address, default="")
    new_mail: Mapped[str] = mapped_column("NewMail", Address, default="")
    # Of the code that was sent to the new address: its hash, until when it counts, how often it was guessed.
    code: Mapped[str] = mapped_column("HashedCode", String(64), default="")
    code_until: Mapped[datetime | None] = mapped_column("CodeExpiresAt", Timestamp)
    guesses: Mapped[int] = mapped_column("Guesses", Integer, default=0)
    # How many codes were asked for since a time: to write to strangers is not what this is for.
    codes: Mapped[int] = mapped_column("CodesAsked", Integer, default=0)
    codes_since: Mapped[datetime | None] = mapped_column("CodesSince", Timestamp)
    webhook: Mapped[str] = mapped_column("Webhook", Text, default="")
    # Sealed: it is needed as it is, to sign.
    secret: Mapped[str] = mapped_column("SealedSecret", Text, default="")


class Message(Table):
    """One mail, or one call of a webhook, about everything that was to be told then."""

    __tablename__ = "NoticeMessages"
    __table_args__ = (
        Index("MessagesOfUser", "VO", "Owner", "Channel", "MessageID"),
        Index("MessagesByState", "State", "EndedAt"),
    )

    message_id: Mapped[int] = mapped_column("MessageID", Number, primary_key=True, autoincrement=True)
    vo: Mapped[str] = mapped_column("VO", Vo)
    owner: Mapped[str] = mapped_column("Owner", Owner)
    channel: Mapped[str] = mapped_column("Channel", String(16))
    # The same at each try: by it a receiver knows what he has already.
    token: Mapped[str] = mapped_column("Token", String(32))
    state: Mapped[str] = mapped_column("State", String(16), default=State.WAITING)
    made_at: Mapped[datetime] = mapped_column("MadeAt", Timestamp)
    # Until then somebody is sending it, and nobody else may.
    sending_until: Mapped[datetime | None] = mapped_column("SendingUntil", Timestamp)
    ended_at: Mapped[datetime | None] = mapped_column("EndedAt", Timestamp)
    error: Mapped[str] = mapped_column("Error", Text, default="")


class Notice(Table):
    """Something that a user is to be told in one way; in a message, or waiting for the next."""

    __tablename__ = "Notices"
    __table_args__ = (
        Index("NoticesOfMessage", "MessageID", "VO", "Owner", "Channel"),
        Index("NoticesOfSubject", "VO", "Owner", "Subject"),
    )

    notice_id: Mapped[int] = mapped_column("NoticeID", Number, primary_key=True, autoincrement=True)
    vo: Mapped[str] = mapped_column("VO", Vo)
    owner: Mapped[str] = mapped_column("Owner", Owner)
    channel: Mapped[str] = mapped_column("Channel", String(16))
    event: Mapped[str] = mapped_column("Event", String(16))
    # Such as workflow-42: what it is about may be gone before it is told.
    subject: Mapped[str] = mapped_column("Subject", Subject)
    name: Mapped[str] = mapped_column("Name", String(128))
    status: Mapped[str] = mapped_column("Status", String(32))
    reason: Mapped[str] = mapped_column("Reason", Text)
    happened_at: Mapped[datetime] = mapped_column("HappenedAt", Timestamp)
    message_id: Mapped[int | None] = mapped_column("MessageID", Number)


class Watch(Table):
    """A group of jobs of whose end its owner wants to be told."""

    __tablename__ = "WatchedGroups"

    vo: Mapped[str] = mapped_column("VO", Vo, primary_key=True)
    owner: Mapped[str] = mapped_column("Owner", Owner, primary_key=True)
    group: Mapped[str] = mapped_column("JobGroup", Group, primary_key=True)
    asked_at: Mapped[datetime] = mapped_column("AskedAt", Timestamp)
