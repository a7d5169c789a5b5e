"""That a mail address is a user's own: a code is sent to it, and he says it here."""

import hashlib
import secrets
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import case, select, update
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.core.errors import BadRequest, Conflict, NotFound
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.notices.tables import Wishes

DIGITS = 8
GUESSES = 5
MINUTES = 30
# Mails that somebody can have sent to addresses that nobody has confirmed, in a day.
A_DAY = 5
DAY = 86400


class Code(NamedTuple):
    """A code, and where it goes."""

    code: str
    address: str


class Guess(StrEnum):
    """What came of a guess: only RIGHT has confirmed anything."""

    RIGHT = "right"
    WRONG = "wrong"
    NONE = "none"


def ask_for_code(db: Session, found: Wishes) -> None:
    """Have a code sent to a held user's new address; Conflict when he has had too many."""
    _count(db, found)
    key = f"notices-{found.vo}/{found.owner}.code"
    enqueue(db, "notices.send_code", key, vo=found.vo, owner=found.owner)


def ask_again(db: Session, found: Wishes) -> str:
    """Have another code sent, and answer where to; NotFound when no address waits for one."""
    if not found.new_mail:
        raise NotFound(f"no mail address of {found.owner} waits to be confirmed")
    ask_for_code(db, found)
    return found.new_mail


def make(db: Session, vo: str, owner: str) -> Code | None:
    """A new code, which takes the place of the one before; None when no address waits any more.

    Only its hash is kept: who reads the database does not see it.
    """
    code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    values = {"code": _hashed(vo, owner, code), "code_until": utc_now(MINUTES * 60), "guesses": 0}
    waits = (Wishes.vo == vo, Wishes.owner == owner, Wishes.new_mail != "")
    if not changed(db, update(Wishes).where(*waits).values(values)):
        return None
    address = db.scalar(select(Wishes.new_mail).where(*waits))
    return Code(code, address) if address else None


def words(code: Code, owner: str, vo: str, url: str) -> tuple[str, str]:
    """Subject and text of the mail with a code."""
    shown = f"{code.code[:4]} {code.code[4:]}"
    text = (
        f"{shown}\n\n"
        f"is the code that confirms this address for {owner} of {vo} at {url}.\n"
        f"It holds for {MINUTES} minutes:\n\n    diracx notices confirm {code.code}\n\n"
        "If you did not ask for it, do nothing: nothing else will be sent here.\n"
    )
    return f"Your code for DiracX: {shown}", text


def guess(db: Session, code: str, *, by: User) -> Guess:
    """Say a code: the new address is in force if it is right. Each guess counts, whatever the caller does.

    The caller commits before he complains: GUESSES are all that there are.
    """
    given = "".join(letter for letter in code if letter.isdigit())
    mine = (Wishes.vo == by.vo, Wishes.owner == by.name, Wishes.new_mail != "", Wishes.code != "")
    counts = (Wishes.code_until > utc_now(), Wishes.guesses < GUESSES)
    if not changed(db, update(Wishes).where(*mine, *counts).values(guesses=Wishes.guesses + 1)):
        return Guess.NONE
    right = (*mine, Wishes.code == _hashed(by.vo, by.name, given))
    # The address first: MariaDB assigns from left to right.
    values = ((Wishes.mail, Wishes.new_mail), (Wishes.new_mail, ""), (Wishes.code, ""))
    return Guess.RIGHT if changed(db, update(Wishes).where(*right).ordered_values(*values)) else Guess.WRONG


def must_be_right(found: Guess, *, by: User) -> None:
    """BadRequest for a wrong guess, NotFound when no code is waited for."""
    if found is Guess.WRONG:
        raise BadRequest(f"this is not the code that was sent; of {GUESSES} guesses this was one")
    if found is Guess.NONE:
        raise NotFound(
            f"no code of {by.name} is waited for: it held for {MINUTES} minutes and {GUESSES} guesses;"
            " ask for another (`diracx notices confirm --again`)"
        )


def _count(db: Session, found: Wishes) -> None:
    """Count a code that is asked for; after a day it begins anew."""
    db.flush()
    is_old = Wishes.codes_since.is_(None) | (Wishes.codes_since < utc_now(-DAY))
    mine = (Wishes.vo == found.vo, Wishes.owner == found.owner, is_old | (Wishes.codes < A_DAY))
    # The number looks at the old time, so it comes first (MariaDB assigns from left to right).
    values = (
        (Wishes.codes, case((is_old, 1), else_=Wishes.codes + 1)),
        (Wishes.codes_since, case((is_old, utc_now()), else_=Wishes.codes_since)),
    )
    if not changed(db, update(Wishes).where(*mine).ordered_values(*values)):
        raise Conflict(f"{A_DAY} codes were sent for {found.owner} within a day: try again tomorrow")


def _hashed(vo: str, owner: str, code: str) -> str:
    return hashlib.sha256(f"{vo}/{owner}/{code}".encode()).hexdigest()
