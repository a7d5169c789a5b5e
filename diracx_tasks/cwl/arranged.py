"""A workflow's graph on a plane: where its steps and lines are, before anybody draws them."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from diracx_tasks.cwl.layered import Box, Line, Point, place

# What is no XML, and what would break a line of text.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]+")
LETTER, SMALL = 7.4, 6.2
LONGEST = 40
HEIGHT, PAD, TITLE, MARGIN = 44.0, 16.0, 26.0, 16.0
# What stands before the names of inputs and outputs in keys, which no path begins with.
PORTS = {"input": "<", "output": ">"}
Graph = Mapping[str, Any]


@dataclass
class Drawing:
    """Some steps side by side, with what is inside of them."""

    width: float
    height: float
    boxes: list[Box]
    lines: list[Line]
    nodes: Mapping[str, Graph]
    inner: Mapping[str, "Drawing"]


def arranged(graph: Graph, second: Callable[[Graph], str] | None = None, parent: str = "") -> Drawing:
    """The places of everything in a graph, or of what is inside of a step.

    `second` says what is to have room below the name of a node.
    """
    second = second or facts_line
    nodes = {node["path"]: node for node in graph["nodes"] if _is_below(node, parent)}
    parents = {node["parent"] for node in graph["nodes"]}
    inner = {
        path: arranged(graph, second, path)
        for path, node in nodes.items()
        if path and path in parents and node["kind"] == "workflow"
    }
    boxes = [_box(key, node, inner.get(key), second) for key, node in nodes.items()]
    if not parent:
        found = {key: port for key, port in ports(graph)}
        nodes |= found
        boxes += [_box(key, port, None, second) for key, port in found.items()]
    width, height, lines = place(boxes, links(graph))
    return Drawing(width, height, boxes, lines, nodes, inner)


def ports(graph: Graph) -> Iterator[tuple[str, dict[str, Any]]]:
    """The inputs and outputs of a workflow as nodes, by their keys."""
    for kind, sign in PORTS.items():
        for port in graph.get(f"{kind}s", ()):
            yield (
                sign + port["name"],
                {"name": port["name"], "kind": kind, "type": port["type"], "scatter": False},
            )


def links(graph: Graph) -> list[tuple[str, str]]:
    """Which node gives values to which."""
    found = [(edge["from"], edge["to"]) for edge in graph["edges"]]
    for port in graph.get("inputs", ()):
        found += [(PORTS["input"] + port["name"], step) for step in port["to"]]
    for port in graph.get("outputs", ()):
        found += [(source, PORTS["output"] + port["name"]) for source in port["from"]]
    return found


def facts(node: Graph) -> Iterator[str]:
    """What a step is and where it has come to, each in words: never by colour alone."""
    if node["kind"] in PORTS:
        yield from (node["kind"], node["type"])
        return
    if state := node.get("state"):
        yield state
    if node["scatter"]:
        yield f"scatter {node['done']}/{node['total'] or '?'}" if state else "scatter"
    yield node["kind"]


def facts_line(node: Graph) -> str:
    """The line below a name."""
    return cut(" · ".join(facts(node)))


def way(points: list[Point]) -> str:
    """The `d` of an SVG path through points of a line."""
    (x, y), *rest = points
    found = f"M{x:.1f} {y:.1f}"
    for number, (right, down) in enumerate(rest):
        # Between layers a line bends; past a layer it goes straight.
        bend = (right - x) / 2
        is_past = number % 2 == 1
        curve = f"C{x + bend:.1f} {y:.1f} {right - bend:.1f} {down:.1f} "
        found += f"{'L' if is_past else curve}{right:.1f} {down:.1f}"
        x, y = right, down
    return found


def printable(text: str) -> str:
    """A text in one line, without what no document may hold."""
    return CONTROL.sub(" ", str(text))


def cut(text: str) -> str:
    """A text that has room in a box."""
    text = printable(text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _is_below(node: Graph, parent: str) -> bool:
    # The one node of a tool has the path '' and so has what is around it.
    return bool(node["parent"] == parent if node["path"] else not parent)


def _box(key: str, node: Graph, inner: Drawing | None, second: Callable[[Graph], str]) -> Box:
    first, below = LETTER * len(cut(node["name"])), SMALL * len(second(node))
    if inner is None:
        width = max(first, below, 40) + PAD
        return Box(key, width, HEIGHT)
    width = max(first + below + 2 * PAD, inner.width + 2 * PAD)
    return Box(key, width, inner.height + TITLE + 1.5 * PAD)
