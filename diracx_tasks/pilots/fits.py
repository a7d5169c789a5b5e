"""Which classes of jobs the pilots of which queues can run, and how many at once."""

import re
from collections.abc import Mapping, Sequence
from itertools import chain

from diracx_tasks.matching.ahead import owner_of
from diracx_tasks.matching.seen import Condition, Nodes, Seen, conditions
from diracx_tasks.matching.specification import Specification, from_json
from diracx_tasks.matching.store import Class
from diracx_tasks.pilots.queues import Queue

# What the configuration does not say of a queue its pilots find out on their nodes.
FOUND_OUT = frozenset(
    {
        "architecture",
        "capability",
        "capability_max",
        "cpu_work",
        "glibc",
        "gpu_ram",
        "gpu_vendor",
        "lan",
        "level",
        "level_max",
        "platform",
        "scratch",
        "system",
        "user_namespaces",
    }
)


# Tags that pilots bring with them.
is_brought = re.compile(r"(container|payload)(:[A-Za-z0-9_.-]+)?").fullmatch


class Fits:
    """Queues, and what is known of their nodes: the kinds of the last hour.

    What the configuration does not say is taken from the nodes that asked from the queue; where none did, a
    pilot has to find out. A tag is there when the configuration or such a node says so.
    """

    def __init__(self, queues: Sequence[Queue], kinds: Sequence[Seen] = ()) -> None:
        self.queues = queues
        self._nodes = Nodes([_offered(one) for one in queues])
        self._seen: dict[str, list[Seen]] = {}
        tags = {one.tag for one in queues}
        for one in kinds:
            # Pilots that were not sent from here do not say of which queue they are.
            for place in one.tags & tags or {one.ce}:
                self._seen.setdefault(place, []).append(one)
        self._known: dict[tuple[str, str, str, str], Mapping[int, int]] = {}

    def of(self, wanted: Class) -> Mapping[int, int]:
        """The places of the queues that fit a class, and how many of its jobs a pilot runs there at once."""
        key = wanted.needs, wanted.job_type, wanted.group, wanted.owner
        if key not in self._known:
            found: dict[int, int] = {}
            for spec in from_json(wanted.needs):
                for place in self._places(conditions(spec, owner_of(wanted))):
                    found[place] = max(found.get(place, 1), at_once(self.queues[place], spec))
            self._known[key] = found
        return self._known[key]

    def _places(self, wanted: Sequence[Condition]) -> list[int]:
        found = []
        for place, misses in enumerate(self._nodes.misses(wanted)):
            is_any_ram = self.queues[place].ram_mb is None
            missed = (one for number, one in enumerate(wanted) if misses & (1 << number))
            unsaid = (one for one in wanted if one.name == "ram" and is_any_ram)
            if all(self._is_met_there(place, one) for one in chain(missed, unsaid)):
                found.append(place)
        return found

    def _is_met_there(self, place: int, condition: Condition) -> bool:
        if condition.name == "tags":
            is_silent = bool(is_brought(condition.wanted))
        else:
            is_silent = self._is_found_out(place, condition.name)
            if not is_silent:
                return False
        queue = self.queues[place]
        there = self._seen.get(queue.tag) or self._seen.get(queue.ce)
        return any(condition.holds(one) for one in there) if there else is_silent

    def _is_found_out(self, place: int, name: str) -> bool:
        if name == "ram":
            return self.queues[place].ram_mb is None
        return name in FOUND_OUT and self._nodes.kinds[place].offer(name) is None


def at_once(queue: Queue, spec: Specification) -> int:
    """How many jobs of one kind a pilot of a queue runs at the same time."""
    if spec.is_whole:
        return 1
    found = [queue.processors // spec.cores]
    if queue.ram_mb is not None:
        found.append(queue.ram_mb // max(1, spec.ram))
    if spec.gpus:
        found.append(queue.gpus // spec.gpus)
    return max(1, min(found))


def _offered(queue: Queue) -> Seen:
    terms = queue.node().terms()
    return Seen("", terms, frozenset(terms["tags"]), 0.0)
