"""Noting what a user is to be told, in the transaction of the change that he is told of."""

from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import utc_now
from diracx_tasks.notices.events import Channel, Event
from diracx_tasks.notices.tables import Notice, Wishes

# Letters that are kept of a reason.
LONGEST = 2000
# Nobody chooses these: they were asked for by themselves.
ALWAYS = (Event.JOBS, Event.TEST)


class About(NamedTuple):
    """What has happened to a thing of a user's: `subject` is such as `workflow-42`, `name` is for people."""

    vo: str
    owner: str
    subject: str
    name: str
    status: str
    reason: str = ""


def note(db: Session, event: Event, about: About) -> list[Channel]:
    """Have a user told if he wants to hear of such events; answers in which ways, which may be none."""
    columns = (Wishes.events, Wishes.mail, Wishes.webhook)
    mine = (Wishes.vo == about.vo, Wishes.owner == about.owner)
    wishes = db.execute(select(*columns).where(*mine)).one_or_none()
    if wishes is None or (event not in ALWAYS and event not in wishes.events):
        return []
    places = {Channel.MAIL: wishes.mail, Channel.WEBHOOK: wishes.webhook}
    chosen = [channel for channel, place in places.items() if place]
    for channel in chosen:
        db.add(
            Notice(
                vo=about.vo,
                owner=about.owner,
                channel=channel,
                event=event,
                subject=about.subject[:64],
                name=about.name[:128],
                status=about.status[:32],
                reason=about.reason[:LONGEST],
                happened_at=utc_now(),
            )
        )
    return chosen
