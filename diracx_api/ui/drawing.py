"""A workflow's graph inside of a page: each step with its state in words, and as a link."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from markupsafe import Markup, escape

from diracx_tasks.cwl.arranged import (
    LETTER,
    MARGIN,
    PAD,
    PORTS,
    TITLE,
    Drawing,
    Graph,
    arranged,
    cut,
    links,
    printable,
    way,
)

Link = Callable[[str], str]
TIP = (
    '<defs><marker id="graph-tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>'
)
# Behind the box of a scattered step lies another one, moved by so much.
BEHIND, BAR = 5, 4
# What a step has room for: its box does not grow while it goes on.
ROOM = "Running 100000/100000"
# More lines take seconds to be laid out, and nobody could follow them.
MOST_LINES = 5000
PARTS = ("path", "name", "kind", "parent", "scatter", "loop")
KEPT = 64


@dataclass(frozen=True)
class _Placed:
    """A step at its place, and what is inside of it."""

    key: str
    x: float
    y: float
    width: float
    height: float
    inner: "_Sheet | None"


@dataclass(frozen=True)
class _Sheet:
    """Steps side by side, with the lines between them as SVG."""

    width: float
    height: float
    lines: str
    steps: list[_Placed]


def graph(found: dict[str, Any], link: Link | None = None, label: str = "Steps") -> Markup:
    """The graph as SVG in a box of its own that scrolls; `link` gives the address of a step by its path.

    `found` is what `workflows.search.graph` or a check gives: nodes without a state are drawn without one.
    Its looks are in style.css. To a screen reader it is a list of steps. Beyond MOST_LINES it has no lines.
    """
    count = len(links(found))
    if count > MOST_LINES:
        found = _without_lines(found)
    nodes = [{name: node.get(name) for name in PARTS} for node in found["nodes"]]
    has_states = any(node.get("state") for node in found["nodes"])
    ports = {f"{kind}s": found.get(f"{kind}s", []) for kind in PORTS}
    sheet = _sheet(json.dumps({"nodes": nodes, "edges": found["edges"], **ports}), has_states)
    pen = _Pen(_by_key(found), link)
    size = f'width="{sheet.width:.0f}" height="{sheet.height:.0f}"'
    view = f'viewBox="0 0 {sheet.width:.0f} {sheet.height:.0f}"'
    around = 'class="scroll graph" role="region" tabindex="0"'
    parts = [
        f'<div {around} aria-label="{escape(label)}, drawn as a graph">',
        f'<svg role="list" aria-label="{escape(label)}" {size} {view}>{TIP}',
        *pen.draw(sheet),
        "</svg></div>",
    ]
    if count > MOST_LINES:
        parts.append(f'<p class="faint">{count} links between steps are more than can be drawn.</p>')
    return Markup("".join(parts))


def _without_lines(found: dict[str, Any]) -> dict[str, Any]:
    ports = {
        f"{kind}s": [{**one, end: []} for one in found.get(f"{kind}s", ())]
        for kind, end in (("input", "to"), ("output", "from"))
    }
    return {**found, "edges": [], **ports}


def _by_key(found: Graph) -> dict[str, Graph]:
    nodes = {node["path"]: node for node in found["nodes"]}
    for kind, sign in PORTS.items():
        nodes |= {sign + one["name"]: {**one, "kind": kind} for one in found.get(f"{kind}s", ())}
    return nodes


@lru_cache(KEPT)
def _sheet(shape: str, has_states: bool) -> _Sheet:
    """Where everything is: this takes the most time, and changes with the document only."""
    drawing = arranged(json.loads(shape), lambda node: _room(node, has_states))
    found = _placed(drawing, MARGIN, MARGIN)
    return _Sheet(drawing.width + 2 * MARGIN, drawing.height + 2 * MARGIN, found.lines, found.steps)


def _placed(drawing: Drawing, x: float, y: float) -> _Sheet:
    ways = (way([(left + x, top + y) for left, top in line.points]) for line in drawing.lines)
    steps = []
    for box in drawing.boxes:
        left, top, inner = box.x + x, box.y + y, drawing.inner.get(box.key)
        inside = _placed(inner, left + PAD, top + TITLE + PAD / 2) if inner else None
        steps.append(_Placed(box.key, left, top, box.width, box.height, inside))
    return _Sheet(drawing.width, drawing.height, "".join(f'<path d="{one}"/>' for one in ways), steps)


def _room(node: Graph, has_states: bool) -> str:
    if node["kind"] in PORTS or not has_states:
        return _below(node)
    return ROOM if node["scatter"] or node["loop"] else ROOM[:9]


@dataclass
class _Pen:
    """Draws; the steps are numbered, so that a page that renews itself knows them again."""

    nodes: dict[str, Graph]
    link: Link | None
    number: int = 0

    def draw(self, sheet: _Sheet) -> Iterator[str]:
        """Lines, then the steps."""
        if sheet.lines:
            yield f'<g class="lines" marker-end="url(#graph-tip)" aria-hidden="true">{sheet.lines}</g>'
        for one in sheet.steps:
            yield from self._item(one)

    def _item(self, at: _Placed) -> Iterator[str]:
        node = self.nodes[at.key]
        is_port = node["kind"] in PORTS
        state, words = str(node.get("state") or "none"), escape(_words(node))
        look = f"node{' port' * is_port} s-{state.lower().replace(' ', '-')}"
        yield f'<g role="listitem" class="{escape(look)}">'
        if self.link and not is_port:
            self.number += 1
            address = escape(self.link(node["path"]))
            yield f'<a href="{address}" id="graph-{self.number}" aria-label="{words}"><title>{words}</title>'
            yield from _shown(node, at)
            yield "</a>"
        else:
            yield f"<title>{words}</title>"
            yield from _shown(node, at)
        if at.inner:
            yield f'<g role="list" aria-label="Steps of {escape(printable(node["name"]))}">'
            yield from self.draw(at.inner)
            yield "</g>"
        yield "</g>"


def _shown(node: Graph, at: _Placed) -> Iterator[str]:
    kind = "end" if node["kind"] in PORTS else "around" if at.inner else "box"
    if node.get("scatter"):
        yield _rectangle(kind, at.x + BEHIND, at.y - BEHIND, at.width, at.height)
    yield _rectangle(kind, at.x, at.y, at.width, at.height)
    name, below = cut(node["name"]), _below(node)
    yield _text("name", name, at.x + PAD / 2, at.y + 18)
    if at.inner:
        yield _text("word", below, at.x + PAD + LETTER * len(name), at.y + 18)
        return
    yield _text("word", below, at.x + PAD / 2, at.y + 35)
    if node.get("scatter") and node.get("total"):
        share = min(1.0, node["done"] / node["total"])
        yield _rectangle("bar", at.x, at.y + at.height - BAR, at.width * share, BAR)


def _words(node: Graph) -> str:
    """All that there is to say of a step in one line."""
    return printable(", ".join([node.get("path") or node["name"], *_facts(node)]))


def _below(node: Graph) -> str:
    """The line below a name: where a step has come to, or before it has begun what it is."""
    if node["kind"] not in PORTS and node.get("state"):
        return " ".join([str(node["state"]), *_progress(node)])
    return cut(" · ".join(_facts(node)))


def _facts(node: Graph) -> Iterator[str]:
    if node["kind"] in PORTS:
        yield from (node["kind"], node["type"])
        return
    if state := node.get("state"):
        yield " ".join([str(state), *_progress(node)])
    yield from (word for word in ("scatter", "loop") if node.get(word))
    yield node["kind"]


def _progress(node: Graph) -> Iterator[str]:
    if node["scatter"] or node.get("total", 0) > 1:
        yield f"{node['done']}/{node['total'] or '?'}"


def _rectangle(kind: str, x: float, y: float, width: float, height: float) -> str:
    round_ = ' rx="18"' if kind == "end" else ' rx="6"' if kind != "bar" else ""
    return f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}"{round_}/>'


def _text(kind: str, text: str, x: float, y: float) -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}">{escape(text)}</text>'
