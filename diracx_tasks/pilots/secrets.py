"""Secrets that pilots begin with: each is exchanged once for a token, which its pilot renews while it runs.

Upstream's plan (DiracX, issue 520) has the names; a secret is one pilot's and good for one use.
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User, issue_pilot
from diracx_tasks.core.database import changed, database_time, plain, utc_now
from diracx_tasks.core.errors import Conflict, Forbidden, NotFound, Unauthenticated
from diracx_tasks.core.many import insert_many
from diracx_tasks.core.operations import site_director
from diracx_tasks.pilots.register import ENDED, PilotEnded
from diracx_tasks.pilots.standing import RUNNING
from diracx_tasks.pilots.tables import Pilot, PilotSecret, Submission

BYTES = 32
# The answer may have been lost: so long whoever has used a secret may use it again.
REPEATED = timedelta(seconds=900)
# A batch system takes its time to end what has run for too long.
MARGIN = 3600.0
PAGE = 500
NAMES = ("PilotStamp", "HashedSecret", "ExpiresAt", "LifeSeconds")
# What a secret is compared with when there is none.
NOTHING = "0" * 64

log = logging.getLogger(__name__)


class WrongSecret(Unauthenticated):
    """There is no pilot that has this stamp and this secret; it is not told which of them is wrong."""


class Token(NamedTuple):
    """An access token, and the seconds for which it holds."""

    access_token: str
    seconds: int


def give(
    db: Session,
    vo: str,
    stamps: Collection[str],
    *,
    seconds: float | None = None,
    wall_seconds: float | None = None,
) -> dict[str, str]:
    """New secrets for pilots of a VO, by stamp; those that they had hold no more. Only hashes are kept.

    They may be used within `seconds`, by pilots that then run for `wall_seconds`; None: as the VO states.
    """
    stated = site_director(vo)
    expires = database_time(db) + timedelta(seconds=seconds or stated.SecretSeconds)
    life = (wall_seconds or stated.PilotSeconds) + MARGIN
    found = {stamp: secrets.token_urlsafe(BYTES) for stamp in stamps}
    changed(db, delete(PilotSecret).where(PilotSecret.stamp.in_(found)))
    rows = [(stamp, hashed(secret), expires, life) for stamp, secret in sorted(found.items())]
    insert_many(db, plain(PilotSecret), NAMES, rows)
    return found


def give_to_others(
    db: Session, vo: str, stamps: Collection[str], *, seconds: float | None, wall_seconds: float | None
) -> dict[str, str]:
    """New secrets for registered pilots of a VO that are not submitted from here; see `give`.

    NotFound when one is not registered, Conflict when one has begun, has ended, or has a secret of ours.
    """
    sent = Submission.stamp.is_not(None).label("is_sent")
    query = select(Pilot.stamp, Pilot.status, PilotSecret.used_at, sent)
    query = query.outerjoin(PilotSecret, PilotSecret.stamp == Pilot.stamp)
    query = query.outerjoin(Submission, Submission.stamp == Pilot.stamp)
    rows = db.execute(query.where(Pilot.vo == vo, Pilot.stamp.in_(sorted(stamps)))).all()
    if missing := set(stamps) - {row.stamp for row in rows}:
        raise NotFound(f"not registered in {vo}: {_some(missing)}")
    for row in rows:
        if row.status in ENDED:
            raise Conflict(f"the pilot {row.stamp} has ended ({row.status})")
        if row.used_at is not None:
            raise Conflict(f"the pilot {row.stamp} has begun with its secret")
        if row.is_sent:
            raise Conflict(f"the pilot {row.stamp} is submitted from here, with a secret of its own")
    return give(db, vo, stamps, seconds=seconds, wall_seconds=wall_seconds)


def exchange(db: Session, stamp: str, secret: str, nonce: str, *, address: str) -> Token:
    """The token of a pilot that begins; it is Running then. Once only, but for REPEATED with the same nonce.

    WrongSecret when stamp or secret are wrong; else the errors say why the pilot may not begin.
    """
    query = select(PilotSecret, Pilot, utc_now().label("now")).join(Pilot, Pilot.stamp == PilotSecret.stamp)
    # Of two who use it at once the second waits here, and then sees who was first.
    row = db.execute(query.where(PilotSecret.stamp == stamp).limit(1).with_for_update()).first()
    expected = row.PilotSecret.hashed if row and row.Pilot.stamp == stamp else NOTHING
    if not hmac.compare_digest(hashed(secret), expected) or row is None:
        raise WrongSecret("no pilot has this stamp and this secret")
    kept, pilot, now = row
    if pilot.status in ENDED:
        raise PilotEnded(stamp, pilot.status)
    if kept.expires_at <= now:
        raise Unauthenticated(f"the secret of the pilot {stamp} has expired")
    if kept.used_at is None:
        kept.used_at, kept.used_by = now, hashed(nonce)
        kept.expires_at = now + timedelta(seconds=kept.life_seconds)
        pilot.status, pilot.updated_at = RUNNING, now.replace(microsecond=0)
    elif not hmac.compare_digest(hashed(nonce), kept.used_by or "") or kept.used_at <= now - REPEATED:
        words = "the secret of the pilot %s of %s is used again, from %s: it was used at %s; was it stolen?"
        log.warning(words, stamp, pilot.vo, address or "somewhere", kept.used_at)
        raise Unauthenticated(f"the secret of the pilot {stamp} has been used")
    return _token(pilot.vo, stamp, kept.expires_at - now)


def renew(db: Session, pilot: User) -> Token:
    """A new token for a pilot that began with a secret and has one that holds.

    PilotEnded when it has ended, Unauthenticated when it has run for as long as it may, Forbidden when it
    began otherwise.
    """
    query = select(PilotSecret.expires_at, PilotSecret.used_at, Pilot.status, utc_now().label("now"))
    mine = query.join(Pilot, (Pilot.stamp == PilotSecret.stamp) & (Pilot.vo == pilot.vo))
    stamp = pilot.pilot_stamp or ""
    row = db.execute(mine.where(PilotSecret.stamp == stamp).limit(1)).one_or_none()
    if row is None or row.used_at is None:
        raise Forbidden(f"the pilot {stamp or 'without a stamp'} has not begun with a secret")
    if row.status in ENDED:
        raise PilotEnded(stamp, row.status)
    if row.expires_at <= row.now:
        raise Unauthenticated(f"the pilot {stamp} has run for as long as it may")
    return _token(pilot.vo, stamp, row.expires_at - row.now)


def forget_expired(db: Session) -> int:
    """Delete a page of secrets that nobody can use any more and whose pilots are over; answers how many."""
    expired = select(PilotSecret.stamp).where(PilotSecret.expires_at < utc_now())
    stamps = list(db.scalars(expired.order_by(PilotSecret.expires_at).limit(PAGE)))
    return forget(db, stamps)


def forget(db: Session, stamps: Collection[str]) -> int:
    """Delete the secrets of pilots; answers how many there were."""
    return changed(db, delete(PilotSecret).where(PilotSecret.stamp.in_(stamps))) if stamps else 0


def hashed(secret: str) -> str:
    """What is stored of a secret: with 256 random bits there is nothing to be guessed from it."""
    # Anybody may send half a character; no secret of ours has one.
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _token(vo: str, stamp: str, left: timedelta) -> Token:
    seconds = max(1, int(min(site_director(vo).TokenSeconds, left.total_seconds())))
    return Token(issue_pilot(vo, stamp, seconds=seconds), seconds)


def _some(stamps: Iterable[str], most: int = 10) -> str:
    found = sorted(stamps)
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")
