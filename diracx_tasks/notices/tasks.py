"""Tasks that tell users what they want to be told."""

import secrets

from diracx_tasks.core.database import reading, session
from diracx_tasks.core.settings import settings
from diracx_tasks.engine.policies import Rate
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.run import Later
from diracx_tasks.engine.task import task
from diracx_tasks.notices import clean, confirm, delivery, held, mail, watch
from diracx_tasks.notices import gather as gathering
from diracx_tasks.notices.refused import Refused

# About a day; then it is a dead letter.
RETRY = Backoff(first=30, times=30, cap=3600)


@task(every=20)
def gather() -> str:
    """Put together what users are to be told now, a message for each, and have it sent."""
    with reading() as db:
        found, stuck = list(gathering.due(db)), list(gathering.stuck(db))
    for whom in found:
        with session() as db:
            gathering.put_together(db, whom)
    for message_id in stuck:
        with session() as db:
            gathering.put_right(db, message_id)
    return f"{len(found)} messages, {len(stuck)} put right"


@task(size="medium", lock="task:notices.send-{message_id}", limit=Rate(600, 60), retry=RETRY, timeout=90)
def send(message_id: int) -> str:
    """Send one mail, or call one webhook; tried again for a day while the other side is away."""
    with session() as db:
        wait = delivery.take(db, message_id)
    if wait is None:
        return "there is nothing to send any more"
    if wait:
        raise Later(wait, "another one sends it")
    with reading() as db:
        found = delivery.parcel(db, message_id)
    outcome = found if isinstance(found, delivery.Outcome) else delivery.attempt(found)
    with session() as db:
        delivery.settle(db, message_id, outcome)
    if outcome.trouble:
        raise outcome.trouble
    return " ".join(part for part in (outcome.state, outcome.words) if part)


@task(size="medium", limit=Rate(600, 60), retry=Backoff(first=10, times=6, cap=300), timeout=90)
def send_code(vo: str, owner: str) -> str:
    """Send a new code to a mail address that waits to be confirmed."""
    with session() as db:
        code = confirm.make(db, vo, owner)
    if code is None:
        return "no address waits for a code"
    subject, text = confirm.words(code, owner, vo, settings().url)
    try:
        mail.send(code.address, subject, text, f"code-{secrets.token_hex(16)}")
    except Refused as error:
        return str(error)
    return "sent"


@task(priority="background", every=60)
def look_at_groups() -> str:
    """Find groups of jobs that somebody waits for and that have ended."""
    with reading() as db:
        found = list(watch.watched(db))
    ended = 0
    for one in found:
        with session() as db:
            ended += watch.look(db, one)
    return f"{ended} of {len(found)} ended"


@task(size="medium", priority="background", every=600)
def look_at_held() -> str:
    """Find jobs that have been on hold for an hour and whose owners want to know."""
    with reading() as db:
        found = list(held.concerned(db))
    new = 0
    for vo, owner in found:
        with session() as db:
            new += held.look(db, vo, owner)
    return f"{new} groups of jobs are on hold for long"


@task(size="medium", priority="background", cron="53 4 * * *")
def forget() -> str:
    """Forget what was told long ago, and seal what is kept with the newest key, page by page."""
    total, found = 0, 1
    while found:
        with session() as db:
            found = clean.forget(db) or clean.forget_empty(db)
        total += found
    reached: clean.Key | None = clean.FIRST
    while reached is not None:
        with session() as db:
            reached = clean.seal_anew(db, reached)
    return f"{total} forgotten"
