"""A pilot asks for work: Redis chooses in one step, the database decides."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import orjson
from redis.exceptions import DataError, RedisError
from sqlalchemy.orm import Session

from diracx_tasks.core.config import vos
from diracx_tasks.core.database import after_commit, session
from diracx_tasks.core.deadlocks import undo
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.core.gather import Gathered
from diracx_tasks.core.settings import settings
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.jobs import claims
from diracx_tasks.jobs.claims import Claim, Work
from diracx_tasks.matching import queue, store
from diracx_tasks.matching.grid import UNLIMITED
from diracx_tasks.matching.limits import Rules, rules
from diracx_tasks.matching.node import Node
from diracx_tasks.pilots import register
from diracx_tasks.resources import mask

ROUNDS = 5
# An API process has 40 threads: one VO's pilots leave some to others, and VOs some to each other.
THREADS, MOST_OF_VO, LEAST_OF_VO = 40, 30, 8
# Jobs of this type run where others may not.
TEST = "Test"
# A pilot that got nothing asks again after so many seconds.
RETRY_AFTER = 1.0
# This process asks for the queue of a VO to be made once in so many seconds.
ASKED_AGAIN = 5.0

_asked: dict[str, float] = {}


class Taken(NamedTuple):
    """A job under a lease, which of its alternatives the node fits, and what it may use there."""

    job_id: int
    class_no: int
    alternative: int
    cores: int
    ram_mb: int
    gpus: int
    scratch_mb: int


class Answer(NamedTuple):
    """What Redis chose; `wait` seconds a node must wait on which jobs fail.

    Unless the queue is ready, jobs may wait that Redis does not know yet.
    """

    taken: list[Taken]
    wait: float
    is_ready: bool


@dataclass(frozen=True)
class Match:
    """A job given to a pilot, with everything it needs to run it, and what it may use of the node: MB."""

    job_id: int
    work: Work
    cores: int
    ram_mb: int
    gpus: int = 0
    scratch_mb: int = 0


class Matches(NamedTuple):
    """The jobs that a pilot gets, and the seconds after which it should ask again if there are none."""

    jobs: list[Match]
    retry_after: float


class _Asked(NamedTuple):
    vo: str
    node: Node
    stamp: str
    heartbeat_seconds: float | None
    taken: Sequence[Taken] = ()


def match(
    vo: str,
    node: Node,
    *,
    stamp: str,
    count: int = 1,
    in_turn: bool = False,
    heartbeat_seconds: float | None = None,
) -> Matches:
    """Up to `count` waiting jobs of the VO that fit the node together, claimed for the pilot.

    With `in_turn` each fits by itself: they run one after the other. `heartbeat_seconds` is how often the
    pilot will report on each; None: as the settings say.
    They are in the database under the pilot when this returns. Raises Unavailable when Redis does not answer,
    or when many pilots of the VO are being answered: the jobs keep waiting. Raises PilotEnded when the pilot
    is registered and has ended; one that is not registered may ask.
    """
    register.must_go_on(vo, stamp)
    at_once = max(LEAST_OF_VO, min(MOST_OF_VO, THREADS // max(1, len(vos()))))
    hand = _hand(vo, at_once)
    if not hand.acquire(blocking=False):
        raise Unavailable(f"{at_once} pilots of {vo} are being answered at this moment")
    try:
        return _found(_Asked(vo, node, stamp, heartbeat_seconds), count, in_turn)
    finally:
        hand.release()


def take(vo: str, node: Node, count: int = 1, *, in_turn: bool = False) -> Answer:
    """Put up to `count` jobs under a lease that fit the node together, or `in_turn`, in one step."""
    kind, terms = _usable(vo, node).kind()
    arguments = (
        kind,
        terms,
        count,
        settings().lease_seconds,
        node.site,
        f"{node.site}/{node.name}",
        node.ce,
        _rules(rules(vo, node.site, node.ce)),
        node.cores,
        UNLIMITED if node.ram_mb is None else node.ram_mb,
        int(in_turn),
    )
    try:
        is_ready, wait, *parts = store.run("match", vo, *arguments)
    except DataError:
        raise
    except RedisError as error:
        raise Unavailable(f"the matcher's Redis does not answer: {error}") from error
    numbers = list(map(int, parts))
    taken = [Taken(*numbers[start : start + 7]) for start in range(0, len(numbers), 7)]
    return Answer(taken, float(wait), bool(is_ready))


def _found(asked: _Asked, count: int, in_turn: bool) -> Matches:
    vo = asked.vo
    for _ in range(ROUNDS):
        answer = take(vo, asked.node, count, in_turn=in_turn)
        if not answer.is_ready:
            _ask_for_queue(vo)
        if not answer.taken:
            break
        works = _claim(vo)(asked._replace(taken=answer.taken))
        if works is None:
            # What it would have got is under a lease still, and waits again when that ends.
            raise register.refused(vo, asked.stamp)
        given = [one for one in answer.taken if one.job_id in works]
        # If all were killed meanwhile, others may wait. If some were, what is left of the node is not known.
        if given:
            return Matches([Match(one.job_id, works[one.job_id], *one[3:]) for one in given], 0.0)
    register.note_idle(vo, asked.stamp)
    return Matches([], answer.wait or RETRY_AFTER)


def _usable(vo: str, node: Node) -> Node:
    """The node; where its site or computing element is not to be used, for test jobs only, as in DIRAC."""
    barred = mask.barred(vo)
    if node.site not in barred and node.ce not in barred:
        return node
    types = (TEST,) if node.job_types is None or TEST in node.job_types else ()
    return replace(node, job_types=types)


@lru_cache(4096)
def _rules(found: Rules) -> str:
    if not found.limits and not found.delays:
        return ""
    return orjson.dumps({"limits": found.limits, "delays": found.delays}).decode()


def _claim_many(db: Session, asked: Sequence[_Asked]) -> list[dict[int, Work] | None]:
    """The jobs of each that asks; None for a pilot that has ended."""
    answers, gone = _give(db, asked)
    if not gone:
        return list(answers)
    undo(db)
    rest = [ask for ask in asked if ask.stamp not in gone]
    others = iter(_claim_many(db, rest) if rest else ())
    return [None if ask.stamp in gone else next(others) for ask in asked]


def _give(db: Session, asked: Sequence[_Asked]) -> tuple[list[dict[int, Work]], set[str]]:
    """The jobs of each that asks, and who of them must not get any: then it is all to be undone."""
    vo, leased = asked[0].vo, [one.job_id for ask in asked for one in ask.taken]
    works = claims.hold_waiting(db, vo, leased)
    classes = queue.classes_of_jobs(db, works)
    given: dict[Claim, Work] = {}
    answers: list[dict[int, Work]] = []
    for ask in asked:
        # A lease may have ended, and the job be another's: of two in one transaction the first gets it.
        # What was taken under an earlier class of the job is not what it asks for now.
        mine = {one.job_id: one.class_no for one in ask.taken}
        got = {job: works.pop(job) for job in mine if job in works and classes.get(job) == mine[job]}
        where = (ask.stamp, ask.node.site, ask.node.ce, ask.node.name, ask.heartbeat_seconds)
        given |= {Claim(job_id, *where): work for job_id, work in got.items()}
        answers.append(got)
    claims.give(db, given)
    queue.claimed(db, [claim.job_id for claim in given])
    got_some = [(ask.stamp, list(got)) for ask, got in zip(asked, answers, strict=True) if got]
    gone = register.seen_many(db, vo, got_some)
    after_commit(db, lambda: store.confirm(vo, leased))
    return answers, gone


def _ask_for_queue(vo: str) -> None:
    if time.monotonic() - _asked.get(vo, -ASKED_AGAIN) < ASKED_AGAIN:
        return
    with session() as db:
        enqueue(db, "matching.rebuild", f"vo-{vo}.rebuild", vo=vo)
    _asked[vo] = time.monotonic()


@lru_cache(1024)
def _hand(vo: str, at_once: int) -> threading.Semaphore:
    return threading.Semaphore(at_once)


@lru_cache(1024)
def _claim(vo: str) -> Gathered[_Asked, dict[int, Work] | None]:
    """One for each VO: what holds up one VO's claims does not hold up another's."""
    return Gathered(_claim_many)
