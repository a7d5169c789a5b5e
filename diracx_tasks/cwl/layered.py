"""Boxes in layers from left to right, each after what it takes values from: places only, no drawing."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

ACROSS = 56.0
DOWN = 22.0
# Room for a line that passes a layer.
LANE = 8.0
SWEEPS = 6
# Rooms for lines that pass layers: where more are wanted, the longest lines go straight, whatever they cross.
MOST_LANES = 3000
Point = tuple[float, float]


@dataclass
class Box:
    """Something to be placed; `x` and `y` are its upper left corner in the box around it."""

    key: str
    width: float
    height: float
    x: float = 0
    y: float = 0
    # Only room for a line.
    is_lane: bool = False

    @property
    def middle(self) -> float:
        """The height of its middle."""
        return self.y + self.height / 2


@dataclass
class Line:
    """From one box to another, through points between the boxes of the layers that it passes."""

    source: str
    target: str
    points: list[Point] = field(default_factory=list)


def place(boxes: Sequence[Box], links: Iterable[tuple[str, str]]) -> tuple[float, float, list[Line]]:
    """Give every box its place; the width and height of all of it, and a line for each link.

    The way of Sugiyama, Tagawa and Toda (1981): layers by longest path, order by barycentres.
    """
    known = {box.key: box for box in boxes}
    ties = [tie for tie in dict.fromkeys(links) if tie[0] in known and tie[1] in known and tie[0] != tie[1]]
    layer = _layers(known, ties)
    rows, chains = _with_lanes(known, ties, layer)
    _order(rows, chains)
    _move_apart(rows, chains)
    width = _across(rows)
    every = [box for row in rows for box in row]
    top = min((box.y for box in every), default=0.0)
    for box in every:
        box.y -= top
    height = max((box.y + box.height for box in every), default=0.0)
    return width, height, [_line(chain) for chain in chains]


def _layers(known: Mapping[str, Box], ties: Sequence[tuple[str, str]]) -> dict[str, int]:
    layer = dict.fromkeys(known, 0)
    before, after = dict.fromkeys(known, 0), defaultdict[str, list[str]](list)
    for source, target in ties:
        before[target] += 1
        after[source].append(target)
    targets = {target for _, target in ties}
    # Documents have no circles; with one, what is in it stays where it is.
    ready = [key for key in known if not before[key]]
    while ready:
        key = ready.pop()
        for target in after[key]:
            layer[target] = max(layer[target], layer[key] + 1)
            before[target] -= 1
            if not before[target]:
                ready.append(target)
    for key in known.keys() - targets:
        # What takes from nothing sits right before what takes from it, not at the beginning.
        layer[key] = max(0, min((layer[target] for target in after[key]), default=1) - 1)
    return layer


def _with_lanes(
    known: Mapping[str, Box], ties: Sequence[tuple[str, str]], layer: Mapping[str, int]
) -> tuple[list[list[Box]], list[list[Box]]]:
    """The layers, with a thin box where a line passes one, and each line as the boxes along it."""
    rows: list[list[Box]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for key, box in known.items():
        rows[layer[key]].append(box)
    chains = []
    longest = _longest([layer[target] - layer[source] for source, target in ties])
    for source, target in ties:
        first, last = layer[source], layer[target]
        last = last if last - first <= longest else first
        lanes = [Box("", 0, LANE, is_lane=True) for _ in range(first + 1, last)]
        for number, lane in enumerate(lanes, first + 1):
            rows[number].append(lane)
        chains.append([known[source], *lanes, known[target]])
    return rows, chains


def _longest(spans: Sequence[int]) -> int:
    """How many layers a line may span for all lines that are no longer to have their lanes."""
    left, longest = MOST_LANES, 1
    for span, count in sorted(Counter(span for span in spans if span > 1).items()):
        left -= (span - 1) * count
        if left < 0:
            break
        longest = span
    return longest


def _order(rows: list[list[Box]], chains: Sequence[Sequence[Box]]) -> None:
    before, after = _neighbours(chains)
    for sweep in range(SWEEPS):
        is_forth = sweep % 2 == 0
        places = {id(box): float(number) for row in rows for number, box in enumerate(row)}
        for row in rows if is_forth else rows[::-1]:
            beside = before if is_forth else after
            wish = {id(box): _mean([places[one] for one in beside.get(id(box), ())]) for box in row}
            row.sort(key=lambda box: _or(wish[id(box)], places[id(box)]))
            places |= {id(box): float(number) for number, box in enumerate(row)}


def _move_apart(rows: list[list[Box]], chains: Sequence[Sequence[Box]]) -> None:
    """Heights: every box as near as its layer allows to the middle of what it is tied to."""
    before, after = _neighbours(chains)
    boxes = {id(box): box for row in rows for box in row}
    for row in rows:
        _stack(row, [box.y for box in row])
    for sweep in range(SWEEPS):
        is_forth = sweep % 2 == 0
        beside = before if is_forth else after
        for row in rows if is_forth else rows[::-1]:
            wish = [
                _or(_mean([boxes[one].middle for one in beside.get(id(box), ())]), box.middle) for box in row
            ]
            _stack(row, [middle - box.height / 2 for box, middle in zip(row, wish, strict=True)])


def _stack(row: list[Box], wishes: Sequence[float]) -> None:
    """Place a layer's boxes in their order near their wishes; what overlaps is centred as a block."""
    blocks: list[tuple[list[Box], float, float]] = []
    for box, wish in zip(row, wishes, strict=True):
        members, top, height = [box], wish, box.height
        while blocks and blocks[-1][1] + blocks[-1][2] + DOWN > top:
            others, their_top, their_height = blocks.pop()
            count = len(others) + len(members)
            mean = (len(others) * their_top + len(members) * (top - their_height - DOWN)) / count
            members, top, height = others + members, mean, their_height + DOWN + height
        blocks.append((members, top, height))
    for members, top, _ in blocks:
        y = top
        for box in members:
            box.y = y
            y += box.height + DOWN


def _across(rows: list[list[Box]]) -> float:
    x = 0.0
    for row in rows:
        width = max((box.width for box in row), default=0.0)
        for box in row:
            box.x = x
            if box.is_lane:
                box.width = width
        x += width + ACROSS
    return max(0.0, x - ACROSS)


def _line(chain: Sequence[Box]) -> Line:
    first, *lanes, last = chain
    points = [(first.x + first.width, first.middle)]
    for lane in lanes:
        points += [(lane.x, lane.middle), (lane.x + lane.width, lane.middle)]
    return Line(first.key, last.key, [*points, (last.x, last.middle)])


def _neighbours(chains: Sequence[Sequence[Box]]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for chain in chains:
        for left, right in pairwise(chain):
            before.setdefault(id(right), []).append(id(left))
            after.setdefault(id(left), []).append(id(right))
    return before, after


def _mean(numbers: Sequence[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None


def _or(wish: float | None, otherwise: float) -> float:
    return otherwise if wish is None else wish
