"""What ended on each node, older ends counting less, as it is kept in Redis."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from diracx_tasks.jobs.use import EndedAttempt
from diracx_tasks.matching.blame import Kind, Tally

# What happened so many seconds ago counts half.
HALF_LIFE = 3600.0
# Of a kind of jobs a node remembers so many: what was long ago is made up for by what is now.
MOST = 100.0
FADED = 0.05


class Place(NamedTuple):
    """A node; pilots that do not name theirs are all on the same one, without a name."""

    site: str
    node: str

    @property
    def name(self) -> str:
        """As `match.lua` calls it."""
        return f"{self.site}/{self.node}"

    @classmethod
    def of(cls, name: str) -> "Place":
        """The place of a name."""
        site, _, node = name.partition("/")
        return cls(site, node)


@dataclass
class Record:
    """What ended on a node until a time, and how many seconds the failed jobs took together."""

    at: float
    tallies: dict[Kind, Tally] = field(default_factory=dict)
    seconds: float = 0.0

    def forget(self, now: float) -> None:
        """Let everything count less that happened before."""
        factor = weight(now - self.at)
        kept = {kind: tally.times(factor) for kind, tally in self.tallies.items()}
        self.tallies = {kind: tally for kind, tally in kept.items() if tally.total > FADED}
        self.at, self.seconds = now, self.seconds * factor

    def add(self, one: EndedAttempt, counts: float) -> None:
        """Count an attempt."""
        kind = (one.group, one.owner, one.job_type)
        new = Tally(0, counts) if one.is_good else Tally(counts, 0)
        self.tallies[kind] = self.tallies.get(kind, Tally()).and_(new).at_most(MOST)
        if not one.is_good:
            self.seconds += counts * one.seconds

    @property
    def all(self) -> Tally:
        """Jobs of all kinds."""
        found = self.tallies.values()
        return Tally(sum(one.failed for one in found), sum(one.done for one in found))


Records = dict[Place, Record]


def read(texts: Mapping[str, str], now: float) -> Records:
    """Records as `write` made them, and what they say now."""
    found = {}
    for name, text in texts.items():
        at, seconds, tallies = json.loads(text)
        record = Record(at, {tuple(one[:3]): Tally(*one[3:]) for one in tallies}, seconds)
        record.forget(now)
        found[Place.of(name)] = record
    return found


def write(records: Records) -> dict[str, str]:
    """Records as texts, by the names of their places."""
    return {
        place.name: json.dumps(
            [one.at, one.seconds, [[*kind, *tally] for kind, tally in one.tallies.items()]]
        )
        for place, one in records.items()
    }


def moment(time: datetime) -> float:
    """A time of the database in seconds since 1970."""
    return time.replace(tzinfo=UTC).timestamp()


def weight(seconds: float) -> float:
    """What counts one now counts so much in so many seconds."""
    return float(0.5 ** (max(0.0, seconds) / HALF_LIFE))
