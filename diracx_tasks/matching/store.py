"""The queue in Redis: classes, and the jobs of each in their order. Everything in it can be made from SQL."""

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from redis.client import Pipeline
from redis.commands.core import Script

from diracx_tasks.core.redis import call, redis
from diracx_tasks.core.redis import script as script_of
from diracx_tasks.cwl.record import InvalidRequirements
from diracx_tasks.matching import keys
from diracx_tasks.matching.specification import Specification, from_json

log = logging.getLogger(__name__)

# What one call of a script takes: it keeps others waiting for a few milliseconds.
SLICE = 2000
UNKNOWN = -1
# Jobs' numbers in one bitmap; `queue.lua` has the same.
CHUNK = 65_536
HOUR = 3600
MOST_KINDS = 20_000
MOST_LISTS = 10_000


@dataclass(frozen=True)
class Class:
    """Jobs that ask for the same, `needs` as `specification.needs_json` writes it, and whose they are."""

    class_no: int
    vo: str
    job_type: str
    group: str
    owner: str
    priority: int
    needs: str

    def definition(self) -> str:
        """What `define.lua` takes."""
        about = {"type": self.job_type, "group": self.group, "owner": self.owner, "priority": self.priority}
        specs = from_json(self.needs)
        each = {"terms": [one.terms() for one in specs], "asked": [_asked(one) for one in specs]}
        return orjson.dumps({**about, **each}).decode()


def _asked(spec: Specification) -> dict[str, Any]:
    """What a job takes of a node that runs others besides it."""
    return {
        "cores": spec.cores,
        "max_cores": spec.max_cores or spec.cores,
        "ram": spec.ram_mb,
        "per_core": spec.ram_per_core_mb,
        "whole": spec.is_whole,
        "gpus": spec.gpus or 0,
        "scratch": spec.scratch_mb or 0,
    }


class Which(StrEnum):
    """What is known of jobs that are to be queued; `push.lua` says what follows."""

    ALL = "all"
    NEW = "new"
    RETURN = "return"


def push(jobs: Mapping[Class, Sequence[int]], which: Which = Which.ALL) -> int:
    """Queue jobs, in ascending order, unless they are there; answers how many were not."""
    pieces = [
        (of, ids[start : start + SLICE]) for of, ids in jobs.items() for start in range(0, len(ids), SLICE)
    ]
    found = _push(pieces, which)
    unknown = [piece for piece, count in zip(pieces, found, strict=True) if count == UNKNOWN]
    if unknown:
        define({of for of, _ in unknown})
        found += _push(unknown, which)
    return sum(count for count in found if count != UNKNOWN)


def define(classes: Iterable[Class]) -> None:
    """Make classes known; those that are known stay as they are."""
    with redis().pipeline(transaction=False) as pipe:
        for of in classes:
            try:
                run("define", of.vo, of.class_no, of.definition(), client=pipe)
            except (TypeError, ValueError, InvalidRequirements):
                # It must not keep the others from their jobs.
                log.exception("class %d of %s makes no sense", of.class_no, of.vo)
        pipe.execute()


def forget(vo: str, class_nos: Collection[int]) -> int:
    """Forget classes that have no jobs; answers how many had none."""
    with redis().pipeline(transaction=False) as pipe:
        for class_no in class_nos:
            run("define", vo, class_no, "", client=pipe)
        return sum(pipe.execute())


def drop(vo: str, jobs: Mapping[int, int]) -> None:
    """Take jobs out of the queue: job -> class."""
    pairs = [number for job_id, class_no in jobs.items() for number in (class_no, job_id)]
    for start in range(0, len(pairs), SLICE):
        run("drop", vo, *pairs[start : start + SLICE])


def mend(vo: str, chunk: int) -> None:
    """Forget a chunk of numbers if none of them waits, and drop dead jobs from the fronts of classes."""
    numbers = classes(vo)
    for start in range(0, max(1, len(numbers)), SLICE):
        run("mend", vo, chunk, *numbers[start : start + SLICE])


def chunks(vo: str) -> set[int]:
    """The chunks of 65536 numbers in which Redis may have jobs."""
    found: Any = redis().smembers(f"{keys.prefix(vo)}chunks")
    return {int(one) for one in found}


def confirm(vo: str, job_ids: Collection[int]) -> None:
    """End the leases of jobs that the database has given to their pilots, or that wait no more."""
    ids = list(job_ids)
    for start in range(0, len(ids), SLICE):
        run("confirm", vo, *ids[start : start + SLICE])


def overdue(vo: str) -> list[int]:
    """Jobs that were taken and neither confirmed nor returned in time."""
    seconds = redis().time()[0]
    found: Any = redis().zrangebyscore(keys.leases(vo), 0, seconds, start=0, num=SLICE)
    return [int(job) for job in found]


def set_tiers(vo: str, tiers: Mapping[str, str]) -> None:
    """Put job types into tiers: type -> tier; all others are in the tier `default`."""
    run("tiers", vo, *[part for pair in sorted(tiers.items()) for part in pair])


def classes(vo: str) -> list[int]:
    """The classes that Redis knows."""
    found: Any = redis().hkeys(f"{keys.prefix(vo)}class")
    return [int(one) for one in found]


def waiting(vo: str) -> dict[int, int]:
    """How many entries each class's list has; some of jobs that were killed may be among them."""
    numbers = classes(vo)
    with redis().pipeline(transaction=False) as pipe:
        for number in numbers:
            pipe.llen(f"{keys.prefix(vo)}q:{number}")
        return {number: count for number, count in zip(numbers, pipe.execute(), strict=True) if count}


def bits(vo: str, chunk: int) -> bytes:
    """Which jobs of a chunk of 65536 numbers wait: a bit each, the first is the highest of its byte."""
    client: Any = redis()
    found: bytes | None = client.execute_command("GET", f"{keys.prefix(vo)}in:{chunk}", NEVER_DECODE=True)
    return found or b""


def places(bits: bytes) -> Iterator[int]:
    """The places of the bits that are set, as Redis counts them: the first is the highest of its byte."""
    for place, byte in enumerate(bits):
        for bit in range(8) if byte else ():
            if byte & (0x80 >> bit):
                yield place * 8 + bit


def forget_kinds(vo: str) -> int:
    """Forget kinds of nodes that have not asked for an hour, and the oldest of very many; says how many."""
    prefix, total = keys.prefix(vo), 0
    while True:
        old: Any = redis().zrangebyscore(f"{prefix}kinds", "-inf", time.time() - HOUR, start=0, num=SLICE)
        excess = int(redis().zcard(f"{prefix}kinds")) - MOST_KINDS
        if not old and excess > 0:
            old = redis().zrange(f"{prefix}kinds", 0, min(excess, SLICE) - 1)
        if not old:
            return total
        with redis().pipeline(transaction=True) as pipe:
            pipe.zrem(f"{prefix}kinds", *old)
            pipe.hdel(f"{prefix}kind", *old)
            pipe.hdel(f"{prefix}eg", *old)
            pipe.unlink(*[f"{prefix}e:{kind}" for kind in old])
            pipe.execute()
        total += len(old)


def forget_lists(vo: str) -> None:
    """Forget which expressions lists of tags satisfy when there are very many: it is found again."""
    satisfied = f"{keys.prefix(vo)}satisfied"
    if int(redis().hlen(satisfied)) > MOST_LISTS:
        redis().unlink(satisfied)


def is_ready(vo: str) -> bool:
    """Whether the queue has been made from the database since the last flush."""
    return bool(redis().exists(keys.ready(vo)))


def set_ready(vo: str) -> None:
    """Note that the queue has been made from the database."""
    redis().set(keys.ready(vo), 1)


def run(name: str, vo: str, *arguments: str | float, client: Pipeline | None = None) -> Any:
    """Run one of the matcher's scripts on a VO's keys, or put it into a pipeline."""
    script, prefixes = _script(name), [keys.prefix(vo)]
    if client is None:
        return call(script, prefixes, arguments)
    return script(keys=prefixes, args=arguments, client=client)


def _script(name: str) -> Script:
    return script_of("diracx_tasks.matching", "queue", name)


def _push(pieces: Sequence[tuple[Class, Sequence[int]]], which: Which) -> list[int]:
    with redis().pipeline(transaction=False) as pipe:
        for of, ids in pieces:
            run("push", of.vo, of.class_no, which, *ids, client=pipe)
        return [int(count) for count in pipe.execute()]
