"""What goes in and comes out of the routes about what users want to be told."""

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict

from diracx_api.models.fields import stated
from diracx_tasks.notices.events import Channel, Event, State

TIME = "2026-11-23T10:00:00.123456Z"
MAIL, WEBHOOK = "alice@example.org", "https://chat.example.org/hooks/x1"
Group = Annotated[
    str, Path(min_length=1, max_length=32, description="A group of jobs (JobGroup).", examples=["muons"])
]


class SentMessage(BaseModel):
    """One mail, or one call of a webhook, about everything that was to be told then."""

    message_id: int = stated("Its number.", 12)
    channel: Channel = stated("mail or webhook.", "mail")
    state: State = stated("Waiting: it is (again) to be sent; Sent; Refused; Given up after a day.", "Sent")
    made_at: str = stated("When it was put together, UTC.", TIME)
    ended_at: str | None = stated("When it was sent, refused or given up, UTC.", TIME)
    error: str = stated("What was wrong at the last try.", "")


class NoticeWishes(BaseModel):
    """What you want to be told, where, and what became of it."""

    mail: str = stated("The confirmed mail address; empty: no mail.", MAIL)
    unconfirmed_mail: str = stated("An address that waits for the code that was sent to it.", "")
    webhook: str = stated("The address that is called; empty: none.", WEBHOOK)
    events: list[Event] = stated(
        "Of which ends of workflows you are told, and whether of what needs you.", ["done", "failed"]
    )
    interval: int = stated("A message at most every so many seconds, in each way.", 600)
    sends_mail: bool = stated("Whether this installation sends mail.", True)
    waiting: int = stated("How many things wait for the next message.", 0)
    groups: list[str] = stated("Groups of jobs of whose end you will be told.", ["muons"])
    messages: list[SentMessage] = stated("The newest messages, the newest first.", [])
    secret: str | None = stated("The webhook's new secret: it is shown this once.", None)


class NoticeChange(BaseModel):
    """What is to be otherwise; what is not stated stays."""

    model_config = ConfigDict(extra="forbid")

    mail: str | None = stated(
        "A mail address, which gets a code; empty: no mail.", None, default=None, max_length=300
    )
    webhook: str | None = stated(
        "An https address that is called with JSON; empty: none.", None, default=None, max_length=1000
    )
    secret: str | None = stated(
        "What calls of the webhook are signed with; default: a new one is made.",
        None,
        default=None,
        min_length=16,
        max_length=200,
    )
    events: list[Event] | None = stated(
        "done, failed and killed workflows; attention: a step has failed, or jobs are held for an hour.",
        ["failed", "attention"],
        default=None,
        max_length=10,
    )
    interval: int | None = stated(
        "A message at most every so many seconds; not below what the installation allows.",
        600,
        default=None,
        ge=1,
        le=604800,
    )


class MailCode(BaseModel):
    """The code that a mail had."""

    model_config = ConfigDict(extra="forbid")

    code: str = stated("The code, with or without spaces.", "1234 5678", min_length=1, max_length=40)


class CodeSent(BaseModel):
    """Where a code goes."""

    mail: str = stated("The address that gets it.", MAIL)


class TestSent(BaseModel):
    """Messages that are on their way."""

    mail: int | None = stated("The number of the mail.", 12)
    webhook: int | None = stated("The number of the call.", 13)
