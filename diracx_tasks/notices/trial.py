"""A message on demand, to see whether it arrives."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import utc_now
from diracx_tasks.core.errors import Conflict
from diracx_tasks.notices.events import Channel, Event
from diracx_tasks.notices.gather import Whom, put_together
from diracx_tasks.notices.note import About, note
from diracx_tasks.notices.tables import Notice
from diracx_tasks.notices.wishes import TEST_PAUSE, must_have

SUBJECT = "test"


def test(db: Session, *, by: User) -> dict[Channel, int]:
    """Have everything that waits for a user sent now, with a word that it works; the messages by channel.

    Conflict when he did so within the last TEST_PAUSE seconds, or has nowhere to be told.
    """
    must_have(db, by)
    of_user = (Notice.vo == by.vo, Notice.owner == by.name, Notice.subject == SUBJECT)
    if db.execute(
        select(Notice.notice_id).where(*of_user, Notice.happened_at > utc_now(-TEST_PAUSE))
    ).first():
        raise Conflict(f"a test was sent within the last {TEST_PAUSE} s: wait a moment")
    words = f"{by.name} of {by.vo} asked for a test"
    channels = note(db, Event.TEST, About(by.vo, by.name, SUBJECT, "test", "Test", words))
    if not channels:
        raise Conflict("there is nowhere to send a test to: no confirmed mail address, and no webhook")
    db.flush()
    made = {channel: put_together(db, Whom(by.vo, by.name, channel)) for channel in channels}
    return {channel: message_id for channel, message_id in made.items() if message_id is not None}
