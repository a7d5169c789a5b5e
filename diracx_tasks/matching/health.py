"""Nodes and sites on which jobs fail get fewer of them, until they do better or somebody releases them.

What has ended is kept in Redis, node by node, and counts half after an hour; `blame` says what of it is the
node's fault. After a loss of Redis's memory it is made again from what ended in the last two hours.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

from redis.client import Pipeline
from redis.exceptions import WatchError
from sqlalchemy.orm import Session

from diracx_tasks.core.database import database_time
from diracx_tasks.core.redis import redis
from diracx_tasks.jobs.use import EndedAttempt, Position, ended_since, surviving
from diracx_tasks.matching import keys
from diracx_tasks.matching.blame import VOICE, Fault, Kind, Tally, fault_of, heard, less, together
from diracx_tasks.matching.records import HALF_LIFE, Place, Record, Records, moment, read, weight, write

PAGE = 2000
# Ends that one look takes note of: after a loss of Redis there may be a million, which the next ones take.
MOST = 20 * PAGE
REMEMBERED = 2 * HALF_LIFE
# Among the ends that are known, the last look.
LOOK = "look"
# An end may be committed later: what ended in so many seconds before the last look is read again.
OVERLAP = 10.0


class Threshold(NamedTuple):
    """From which fault on a place is slowed, and to how many seconds between matches at most."""

    missing: float
    share: float
    longest: float
    each: float

    def pace(self, fault: Fault) -> float:
        """Seconds between two matches; 0 when the place is good enough."""
        if fault.missing < self.missing or fault.share < self.share:
            return 0.0
        return round(min(self.longest, self.each * fault.missing) * fault.share, 1)


NODE = Threshold(missing=3, share=0.5, longest=600, each=10)
# Several nodes must be bad: `blame.together` lets each say little.
SITE = Threshold(missing=10, share=0.8, longest=60, each=3)


class Slowed(NamedTuple):
    """A node, or each node of a site when `node` is empty, gets a job every so many seconds at most.

    Lately so many jobs failed and were Done there; older ones count less.
    """

    site: str
    node: str
    seconds: float
    failed: float
    done: float


Places = Mapping[Place, Mapping[Kind, Tally]]


def look(db: Session, vo: str) -> int:
    """Take note of what has ended since the last look; answers how many places are slowed now.

    Looks at the same time do no harm: only one of them counts.
    """
    while True:
        try:
            return _look(db, vo)
        except WatchError:
            # Another look, or a release, came between: one of them has got on.
            continue


def release(vo: str, site: str, node: str = "") -> bool:
    """Forget what failed on a node, or with no node at the whole site; False when it was not slowed."""
    prefix = keys.prefix(vo)
    keys_of_places = [f"{prefix}{key}" for key in ("health", "slow", "next")]
    with redis().pipeline(transaction=True) as pipe:
        for key in keys_of_places:
            pipe.hkeys(key)
        found: Any = pipe.execute()
    names = {name for part in found for name in part if Place.of(name).site == site}
    if node:
        names &= {Place(site, node).name}
    if names:
        with redis().pipeline(transaction=True) as pipe:
            for key in keys_of_places:
                pipe.hdel(key, *names)
            pipe.execute()
    _, slow, _ = found
    return bool(names & set(slow))


def slowed(vo: str) -> list[Slowed]:
    """The nodes and sites that are slowed, the slowest first."""
    slow: Any = redis().hgetall(f"{keys.prefix(vo)}slow")
    if not slow:
        return []
    texts: Any = redis().hgetall(f"{keys.prefix(vo)}health")
    records = read(texts, time.time())
    found = []
    for name, seconds in slow.items():
        site, node = Place.of(name)
        here = [one.all for place, one in records.items() if name in (place.site, place.name)]
        failed, done = (round(sum(part), 1) for part in zip(*here, (0, 0), strict=True))
        found.append(Slowed(site, node, float(seconds), failed, done))
    return sorted(found, key=lambda one: (-one.seconds, one))


def _look(db: Session, vo: str) -> int:
    prefix, now = keys.prefix(vo), time.time()
    with redis().pipeline(transaction=True) as pipe:
        pipe.watch(f"{prefix}health", f"{prefix}ends")  # type: ignore[no-untyped-call]
        texts: Any = pipe.hgetall(f"{prefix}health")
        records = read(texts, now)
        ended, until = _unknown(db, vo, pipe)
        touched = _count(records, ended, now)
        slow: Any = _slow(db, vo, records)
        pauses: Any = pipe.hgetall(f"{prefix}next")
        pipe.multi()
        if touched:
            news: Any = write({place: records[place] for place in touched})
            pipe.hset(f"{prefix}health", mapping=news)
        if faded := [name for name in texts if not records[Place.of(name)].tallies]:
            pipe.hdel(f"{prefix}health", *faded)
        pipe.zadd(f"{prefix}ends", {**{_id(one): moment(one.ended_at) for one in ended}, LOOK: moment(until)})
        pipe.zremrangebyscore(f"{prefix}ends", "-inf", moment(until) - 2 * OVERLAP)
        pipe.delete(f"{prefix}slow")
        if slow:
            pipe.hset(f"{prefix}slow", mapping=slow)
        if over := [name for name, end in pauses.items() if float(end) < now or not _holds(slow, name)]:
            pipe.hdel(f"{prefix}next", *over)
        pipe.execute()
    return len(slow)


def _holds(slow: Mapping[str, float], name: str) -> bool:
    """Whether a node is slowed, by itself or with its site."""
    return name in slow or Place.of(name).site in slow


def _unknown(db: Session, vo: str, pipe: Pipeline) -> tuple[list[EndedAttempt], datetime]:
    """What has ended since the last look, of all that is remembered, and was not seen before; until when."""
    found: Any = pipe.zrange(f"{keys.prefix(vo)}ends", 0, -1, withscores=True)
    known: Any = dict(found)
    until = database_time(db)
    start = until - timedelta(seconds=REMEMBERED)
    if known:
        last = datetime.fromtimestamp(max(known.values()) - OVERLAP, UTC).replace(tzinfo=None)
        start = max(start, last)
    fresh = (one for one in _ended(db, vo, Position(start), until) if _id(one) not in known)
    ended = list(islice(fresh, MOST))
    return ended, ended[-1].ended_at if len(ended) == MOST else until


def _ended(db: Session, vo: str, after: Position, until: datetime) -> Iterator[EndedAttempt]:
    while True:
        page = ended_since(db, vo, after, PAGE, until=until)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].position


def _count(records: Records, ended: list[EndedAttempt], now: float) -> set[Place]:
    """Add what has ended to the records; answers which have changed."""
    touched = set()
    for one in ended:
        if one.is_good is not None:
            place = Place(one.site, one.node)
            records.setdefault(place, Record(now)).add(one, weight(now - moment(one.ended_at)))
            touched.add(place)
    return touched


def _slow(db: Session, vo: str, records: Records) -> dict[str, float]:
    """Nodes and sites that are to be slowed, by their names: seconds between two matches."""
    failing = {place for place, one in records.items() if one.all.failed >= NODE.missing}
    if not failing:
        return {}
    places = {place: one.tallies for place, one in records.items()}
    found = _judged(places, failing, {})
    doubtful = [records[place] for place in failing if place.name not in found]
    doubtful = [one for one in doubtful if one.all.failed > one.all.done]
    if not doubtful:
        return found
    # Elsewhere they may be running still: a node that fails at once must not be trusted until they end.
    owners = {owner for one in doubtful for _, owner, _ in one.tallies}
    longest = max(one.seconds / one.all.failed for one in doubtful)
    alive: dict[Kind, dict[str, int]] = defaultdict(dict)
    for one in surviving(db, vo, owners, 2 * longest + 30):
        alive[one.group, one.owner, one.job_type][one.site] = one.nodes
    return _judged(places, failing, alive) if alive else found


def _judged(places: Places, failing: set[Place], alive: Mapping[Kind, Mapping[str, int]]) -> dict[str, float]:
    whole = heard(places.values())
    found = {}
    for place in failing:
        here = places[place]
        others = less(whole, {kind: tally.at_most(VOICE) for kind, tally in here.items()})
        running = {kind: sum(alive.get(kind, {}).values()) - 1 for kind in here}
        found[place.name] = NODE.pace(fault_of(here, _with(others, running))) if place.node else 0.0
    for site in {place.site for place in failing}:
        inside = {place: tallies for place, tallies in places.items() if place.site == site}
        # Pilots that do not name their nodes may be on many.
        here = together(inside.values(), inside.get(Place(site, ""), {}))
        others = less(whole, heard(inside.values()))
        running = {
            kind: sum(nodes for name, nodes in alive.get(kind, {}).items() if name != site) for kind in here
        }
        found[site] = SITE.pace(fault_of(here, _with(others, running)))
    return {name: seconds for name, seconds in found.items() if seconds}


def _with(others: Mapping[Kind, Tally], running: Mapping[Kind, int]) -> dict[Kind, Tally]:
    """Jobs that go on for long enough elsewhere count as Done there."""
    return {kind: tally.and_(Tally(0, max(0, running.get(kind, 0)))) for kind, tally in others.items()}


def _id(one: EndedAttempt) -> str:
    return f"{one.job_id}.{one.attempt}"
