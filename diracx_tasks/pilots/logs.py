"""What pilots have written: the logs that they upload, and what their computing elements give of them."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed, reading, session
from diracx_tasks.core.errors import BadRequest, Forbidden, NotFound, TooLarge
from diracx_tasks.core.packed import packed, unpacked
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.pilots.elements import Refused, element
from diracx_tasks.pilots.queues import options_of
from diracx_tasks.pilots.tables import Pilot, PilotOutput
from diracx_tasks.sandboxes.store import store

MOST = 1 << 20
# Compressed it is not longer than this.
MOST_STORED = MOST * 6 + 1024


class Output(NamedTuple):
    """Standard output and standard error of a pilot's job in its batch system, up to 1 MB each."""

    output: str
    errors: str


def keep(db: Session, stamp: str, text: str, *, by: User) -> None:
    """Keep a pilot's own log in place of what it has sent before.

    Forbidden to anybody else, NotFound when it is not registered, TooLarge beyond MOST bytes.
    """
    if by.pilot_stamp != stamp:
        raise Forbidden(f"this token is of the pilot {by.pilot_stamp}, not {stamp}")
    size = len(text.encode(errors="replace"))
    if size > MOST:
        raise TooLarge(f"the log of pilot {stamp} has {size} bytes, {MOST} are allowed: send its end")
    number(db, by.vo, stamp)
    store().put(_key(by.vo, stamp), packed(text))


def uploaded(db: Session, vo: str, stamp: str) -> str:
    """The log that a pilot of a VO has sent last; NotFound when there is none."""
    number(db, vo, stamp)
    try:
        found = unpacked(store().read(_key(vo, stamp), MOST_STORED))
    except NotFound as error:
        raise NotFound(f"pilot {stamp} has sent no log") from error
    return str(found)


def ask_output(db: Session, vo: str, stamp: str) -> None:
    """Have a pilot's computing element asked for its output, after this transaction; what is known goes."""
    changed(db, delete(PilotOutput).where(PilotOutput.pilot_id == number(db, vo, stamp)))
    enqueue(db, "pilots.fetch_output", f"pilot-{vo}/{stamp}.output", vo=vo, stamp=stamp)


def output(db: Session, vo: str, stamp: str) -> Output:
    """What a pilot's computing element has given; NotFound before it was asked and has answered."""
    found = db.get(PilotOutput, number(db, vo, stamp))
    if found is None:
        raise NotFound(f"the output of pilot {stamp} is not here: it has to be asked for, and to arrive")
    return Output(found.output, found.errors)


def fetch_output(vo: str, stamp: str) -> Output:
    """Ask a pilot's computing element for its output and keep it; a refusal is kept as if it were an error.

    Raises Unavailable when the element does not answer.
    """
    with reading() as db:
        columns = (Pilot.pilot_id, Pilot.reference, Pilot.destination)
        pilot_id, reference, ce = db.execute(
            select(*columns).where(Pilot.pilot_id == number(db, vo, stamp))
        ).one()
    try:
        found = _given(ce, stamp, reference)
    except (Refused, BadRequest, NotFound) as error:
        found = Output("", f"{ce} gives no output: {error}")
    with session() as db:
        db.merge(PilotOutput(pilot_id=pilot_id, output=found.output, errors=found.errors))
    return found


def forget(vo: str, stamps: Sequence[str]) -> None:
    """Remove the logs of up to 1000 pilots of a VO; those that are not there are no error."""
    store().delete([_key(vo, stamp) for stamp in stamps])


def number(db: Session, vo: str, stamp: str) -> int:
    """The number of a VO's pilot; NotFound when there is none."""
    query = select(Pilot.pilot_id, Pilot.stamp).where(Pilot.stamp == stamp, Pilot.vo == vo)
    # A database takes small letters for capitals; we do not.
    for row in db.execute(query.order_by(Pilot.pilot_id)):
        if row.stamp == stamp:
            return int(row.pilot_id)
    raise NotFound(f"there is no pilot {stamp} in {vo}")


def _given(ce: str, stamp: str, reference: str) -> Output:
    made = element(ce, options_of(ce))
    # Before its submission has come to an end a pilot has no other reference than its stamp.
    known = made.find([stamp]).get(stamp) if reference == stamp else reference
    return Output(*made.output(known)) if known else Output("", f"{ce} does not know it")


def _key(vo: str, stamp: str) -> str:
    return f"pilots/{quote(vo, safe='')}/{quote(stamp, safe='')}.log"
