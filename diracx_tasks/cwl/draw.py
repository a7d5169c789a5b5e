"""A workflow's graph as a picture: SVG by a layout of our own, or DOT for Graphviz."""

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from diracx_tasks.cwl.arranged import (
    LETTER,
    LONGEST,
    MARGIN,
    PAD,
    PORTS,
    TITLE,
    Drawing,
    Graph,
    arranged,
    cut,
    facts,
    facts_line,
    links,
    ports,
    printable,
    way,
)
from diracx_tasks.cwl.layered import Box

__all__ = ["COLOURS", "LONGEST", "dot", "svg"]
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
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1b1f24}.small{font-size:11px;fill:#57606a}"
    ".node,.port,.around{fill:#fff;stroke-width:2}.around{fill:#f6f8fa;stroke-dasharray:none}"
    ".port{fill:#eef2f6;stroke:#8c959f;stroke-width:1}.line{fill:none;stroke:#8c959f;stroke-width:1.5}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9da7b3}.node{fill:#161b22}"
    ".around{fill:#0d1117}.port{fill:#21262d}}"
)


def svg(graph: Graph, title: str) -> str:
    """The picture as one SVG text: steps with kind, scatter and state, subworkflows as boxes around theirs.

    `graph` is what `cwl.graph.graph` gives, with `state`, `done` and `total` of each node where they are
    known, and `inputs` and `outputs` of the workflow where these are (`cwl/ports.py`).
    """
    drawing = arranged(graph)
    width, height = drawing.width + 2 * MARGIN, drawing.height + 2 * MARGIN + TITLE
    name = quoteattr(printable(title))
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label={name} {size}>',
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#8c959f"/></marker></defs>',
        _words(title, MARGIN, MARGIN + 10),
        *_drawn(drawing, MARGIN, MARGIN + TITLE),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def dot(graph: Graph, title: str) -> str:
    """The graph for Graphviz."""
    lines = [f"digraph {_quoted(title)} {{", "  rankdir=LR; node [shape=box, style=filled, fillcolor=white];"]
    for node in graph["nodes"]:
        label = " ".join(filter(None, (node["name"], *facts(node))))
        colour = _quoted(COLOURS.get(node.get("state", ""), PLAIN))
        lines.append(f"  {_quoted(node['path'])} [label={_quoted(label)}, color={colour}, penwidth=2];")
        if node["parent"]:
            tie = f"{_quoted(node['parent'])} -> {_quoted(node['path'])}"
            lines.append(f"  {tie} [style=dotted, arrowhead=none];")
    for key, port in ports(graph):
        label = _quoted(f"{port['name']}: {port['type']}")
        lines.append(f"  {_quoted(key)} [label={label}, shape=ellipse];")
    lines += [f"  {_quoted(source)} -> {_quoted(target)};" for source, target in links(graph)]
    return "\n".join([*lines, "}"]) + "\n"


def _drawn(drawing: Drawing, x: float, y: float) -> Iterator[str]:
    """SVG elements, moved by so much."""
    for line in drawing.lines:
        d = way([(left + x, top + y) for left, top in line.points])
        yield f'<path class="line" d="{d}" marker-end="url(#tip)"/>'
    for box in drawing.boxes:
        node, left, top = drawing.nodes[box.key], box.x + x, box.y + y
        words = ", ".join([node.get("path") or node["name"], *facts(node)])
        yield f"<g><title>{escape(printable(words))}</title>"
        is_around = box.key in drawing.inner
        yield from _around(drawing, box, left, top) if is_around else _leaf(node, box, left, top)
        yield "</g>"


def _around(drawing: Drawing, box: Box, x: float, y: float) -> Iterator[str]:
    node = drawing.nodes[box.key]
    yield from _stacked(node, box, x, y, "around")
    yield _words(node["name"], x + PAD / 2, y + 18)
    yield _words(facts_line(node), x + PAD + LETTER * len(cut(node["name"])), y + 18, "small")
    yield from _drawn(drawing.inner[box.key], x + PAD, y + TITLE + PAD / 2)


def _leaf(node: Graph, box: Box, x: float, y: float) -> Iterator[str]:
    if node["kind"] in PORTS:
        yield _rectangle("port", box, x, y, 'rx="18"')
    else:
        yield from _stacked(node, box, x, y, "node")
    yield _words(node["name"], x + PAD / 2, y + 18)
    yield _words(facts_line(node), x + PAD / 2, y + 35, "small")


def _stacked(node: Graph, box: Box, x: float, y: float, kind: str) -> Iterator[str]:
    """A step's box, with another behind it when the step is scattered."""
    dashes = ' stroke-dasharray="6 3"' if node["kind"] == "expression" else ""
    look = f'rx="6" stroke="{_colour(node)}"{dashes}'
    if node["scatter"]:
        yield _rectangle(kind, box, x + 5, y - 5, look)
    yield _rectangle(kind, box, x, y, look)


def _colour(node: Graph) -> str:
    return COLOURS.get(node.get("state", ""), PLAIN)


def _rectangle(kind: str, box: Box, x: float, y: float, look: str) -> str:
    size = f'x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    return f'<rect class="{kind}" {size} {look}/>'


def _words(text: str, x: float, y: float, kind: str = "") -> str:
    mark = f' class="{kind}"' if kind else ""
    return f'<text{mark} x="{x:.1f}" y="{y:.1f}">{escape(cut(text))}</text>'


def _quoted(text: str) -> str:
    return '"' + printable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
