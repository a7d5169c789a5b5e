"""A workflow's graph as a picture: SVG by a layout of our own, or DOT for Graphviz."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from diracx_tasks.cwl.layered import Box, Line, place

# What is no XML, and what would break a line of text.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]+")
# The web colours of what a person sees of a step.
COLOURS = {
    "Received": "#607d8b",
    "Waiting": "#ffb300",
    "Running": "#1976d2",
    "Done": "#4caf50",
    "Skipped": "#9e9e9e",
    "Failed": "#f44336",
    "Killed": "#b71c1c",
}
PLAIN = "#607d8b"
LETTER, SMALL = 7.4, 6.2
LONGEST = 40
HEIGHT, PAD, TITLE, MARGIN = 44.0, 16.0, 26.0, 16.0
# What stands before the names of inputs and outputs in keys, which no path begins with.
PORTS = {"input": "<", "output": ">"}
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1b1f24}.small{font-size:11px;fill:#57606a}"
    ".node,.port,.around{fill:#fff;stroke-width:2}.around{fill:#f6f8fa;stroke-dasharray:none}"
    ".port{fill:#eef2f6;stroke:#8c959f;stroke-width:1}.line{fill:none;stroke:#8c959f;stroke-width:1.5}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9da7b3}.node{fill:#161b22}"
    ".around{fill:#0d1117}.port{fill:#21262d}}"
)
Graph = Mapping[str, Any]


def svg(graph: Graph, title: str) -> str:
    """The picture as one SVG text: steps with kind, scatter and state, subworkflows as boxes around theirs.

    `graph` is what `cwl.graph.graph` gives, with `state`, `done` and `total` of each node where they are
    known, and `inputs` and `outputs` of the workflow where these are (`cwl/ports.py`).
    """
    drawing = _laid_out(graph, "")
    width, height = drawing.width + 2 * MARGIN, drawing.height + 2 * MARGIN + TITLE
    name = quoteattr(_text(title))
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label={name} {size}>',
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#8c959f"/></marker></defs>',
        _words(title, MARGIN, MARGIN + 10),
        *drawing.draw(MARGIN, MARGIN + TITLE),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def dot(graph: Graph, title: str) -> str:
    """The graph for Graphviz."""
    lines = [f"digraph {_quoted(title)} {{", "  rankdir=LR; node [shape=box, style=filled, fillcolor=white];"]
    for node in graph["nodes"]:
        label = " ".join(filter(None, (node["name"], *_facts(node))))
        colour = _quoted(COLOURS.get(node.get("state", ""), PLAIN))
        lines.append(f"  {_quoted(node['path'])} [label={_quoted(label)}, color={colour}, penwidth=2];")
        if node["parent"]:
            tie = f"{_quoted(node['parent'])} -> {_quoted(node['path'])}"
            lines.append(f"  {tie} [style=dotted, arrowhead=none];")
    for key, port in _ports(graph):
        label = _quoted(f"{port['name']}: {port['type']}")
        lines.append(f"  {_quoted(key)} [label={label}, shape=ellipse];")
    lines += [f"  {_quoted(source)} -> {_quoted(target)};" for source, target in _links(graph)]
    return "\n".join([*lines, "}"]) + "\n"


@dataclass
class Drawing:
    """Some steps side by side, with what is inside of them."""

    width: float
    height: float
    boxes: list[Box]
    lines: list[Line]
    nodes: Mapping[str, Graph]
    inner: Mapping[str, "Drawing"]

    def draw(self, x: float, y: float) -> Iterator[str]:
        """SVG elements, moved by so much."""
        for line in self.lines:
            yield _path([(left + x, top + y) for left, top in line.points])
        for box in self.boxes:
            node, left, top = self.nodes[box.key], box.x + x, box.y + y
            words = ", ".join([node.get("path") or node["name"], *_facts(node)])
            yield f"<g><title>{escape(_text(words))}</title>"
            yield from self._around(box, left, top) if box.key in self.inner else _leaf(node, box, left, top)
            yield "</g>"

    def _around(self, box: Box, x: float, y: float) -> Iterator[str]:
        node = self.nodes[box.key]
        yield from _stacked(node, box, x, y, "around")
        yield _words(node["name"], x + PAD / 2, y + 18)
        yield _words(_second(node), x + PAD + LETTER * len(_cut(node["name"])), y + 18, "small")
        yield from self.inner[box.key].draw(x + PAD, y + TITLE + PAD / 2)


def _leaf(node: Graph, box: Box, x: float, y: float) -> Iterator[str]:
    if node["kind"] in PORTS:
        yield _rectangle("port", box, x, y, 'rx="18"')
    else:
        yield from _stacked(node, box, x, y, "node")
    yield _words(node["name"], x + PAD / 2, y + 18)
    yield _words(_second(node), x + PAD / 2, y + 35, "small")


def _stacked(node: Graph, box: Box, x: float, y: float, kind: str) -> Iterator[str]:
    """A step's box, with another behind it when the step is scattered."""
    dashes = ' stroke-dasharray="6 3"' if node["kind"] == "expression" else ""
    look = f'rx="6" stroke="{_colour(node)}"{dashes}'
    if node["scatter"]:
        yield _rectangle(kind, box, x + 5, y - 5, look)
    yield _rectangle(kind, box, x, y, look)


def _laid_out(graph: Graph, parent: str) -> Drawing:
    nodes = {node["path"]: node for node in graph["nodes"] if _is_below(node, parent)}
    parents = {node["parent"] for node in graph["nodes"]}
    inner = {
        path: _laid_out(graph, path)
        for path, node in nodes.items()
        if path and path in parents and node["kind"] == "workflow"
    }
    boxes = [_box(key, node, inner.get(key)) for key, node in nodes.items()]
    if not parent:
        ports = {key: port for key, port in _ports(graph)}
        nodes |= ports
        boxes += [_box(key, port, None) for key, port in ports.items()]
    width, height, lines = place(boxes, _links(graph))
    return Drawing(width, height, boxes, lines, nodes, inner)


def _is_below(node: Graph, parent: str) -> bool:
    # The one node of a tool has the path '' and so has what is around it.
    return bool(node["parent"] == parent if node["path"] else not parent)


def _ports(graph: Graph) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, sign in PORTS.items():
        for port in graph.get(f"{kind}s", ()):
            yield (
                sign + port["name"],
                {"name": port["name"], "kind": kind, "type": port["type"], "scatter": False},
            )


def _links(graph: Graph) -> list[tuple[str, str]]:
    found = [(edge["from"], edge["to"]) for edge in graph["edges"]]
    for port in graph.get("inputs", ()):
        found += [(PORTS["input"] + port["name"], step) for step in port["to"]]
    for port in graph.get("outputs", ()):
        found += [(source, PORTS["output"] + port["name"]) for source in port["from"]]
    return found


def _box(key: str, node: Graph, inner: Drawing | None) -> Box:
    first, second = LETTER * len(_cut(node["name"])), SMALL * len(_second(node))
    if inner is None:
        width = max(first, second, 40) + PAD
        return Box(key, width, HEIGHT)
    width = max(first + second + 2 * PAD, inner.width + 2 * PAD)
    return Box(key, width, inner.height + TITLE + 1.5 * PAD)


def _second(node: Graph) -> str:
    """The line below a name."""
    return _cut(" · ".join(_facts(node)))


def _facts(node: Graph) -> Iterator[str]:
    """What a step is and where it has come to, each in words: never by colour alone."""
    if node["kind"] in PORTS:
        yield from (node["kind"], node["type"])
        return
    if state := node.get("state"):
        yield state
    if node["scatter"]:
        yield f"scatter {node['done']}/{node['total'] or '?'}" if state else "scatter"
    yield node["kind"]


def _colour(node: Graph) -> str:
    return COLOURS.get(node.get("state", ""), PLAIN)


def _rectangle(kind: str, box: Box, x: float, y: float, look: str) -> str:
    size = f'x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    return f'<rect class="{kind}" {size} {look}/>'


def _words(text: str, x: float, y: float, kind: str = "") -> str:
    mark = f' class="{kind}"' if kind else ""
    return f'<text{mark} x="{x:.1f}" y="{y:.1f}">{escape(_cut(text))}</text>'


def _path(points: list[tuple[float, float]]) -> str:
    (x, y), *rest = points
    found = f"M{x:.1f} {y:.1f}"
    for number, (right, down) in enumerate(rest):
        # Between layers a line bends; past a layer it goes straight.
        bend = (right - x) / 2
        is_past = number % 2 == 1
        curve = f"C{x + bend:.1f} {y:.1f} {right - bend:.1f} {down:.1f} "
        found += f"{'L' if is_past else curve}{right:.1f} {down:.1f}"
        x, y = right, down
    return f'<path class="line" d="{found}" marker-end="url(#tip)"/>'


def _text(text: str) -> str:
    return CONTROL.sub(" ", str(text))


def _cut(text: str) -> str:
    text = _text(text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _quoted(text: str) -> str:
    return '"' + _text(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
