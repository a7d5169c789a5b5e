"""A drawing of states and the ways between them: SVG that the page itself holds."""

from collections.abc import Sequence
from html import escape

from diracx_tasks.cwl.layered import Box, Line, place

HEIGHT, PAD, LETTER, MARGIN, BELOW = 30.0, 20.0, 7.6, 8.0, 18.0
Way = tuple[str, str]


def ways(states: Sequence[str], pairs: Sequence[Way], title: str) -> str:
    """States from left to right; a way back, to a state further left, goes dashed around below."""
    boxes = [Box(state, LETTER * len(state) + PAD, HEIGHT) for state in states]
    order = {state: number for number, state in enumerate(states)}
    width, height, lines = place(boxes, [pair for pair in pairs if order[pair[0]] < order[pair[1]]])
    known = {box.key: box for box in boxes}
    back = [pair for pair in pairs if order[pair[0]] > order[pair[1]]]
    tall = height + BELOW * (len(back) + 1)
    size = f'viewBox="{-MARGIN:g} {-MARGIN:g} {width + 2 * MARGIN:.0f} {tall + 2 * MARGIN:.0f}"'
    parts = [
        f'<svg class="ways" role="img" aria-label="{escape(title)}" {size}>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="currentColor"/></marker></defs>',
        *map(_forward, lines),
        *(_back(known[frm], known[to], height + BELOW * (n + 1)) for n, (frm, to) in enumerate(back)),
        *map(_box, boxes),
        "</svg>",
    ]
    return "".join(parts)


def _box(box: Box) -> str:
    place = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="6"'
    words = f'<text x="{box.x + box.width / 2:.1f}" y="{box.middle + 4:.1f}">{escape(box.key)}</text>'
    return f"<rect {place}/>{words}"


def _forward(line: Line) -> str:
    (x, y), *rest = line.points
    found = f"M{x:.1f} {y:.1f}"
    for right, down in rest:
        bend = (right - x) / 2
        found += f"C{x + bend:.1f} {y:.1f} {right - bend:.1f} {down:.1f} {right:.1f} {down:.1f}"
        x, y = right, down
    return f'<path d="{found}" marker-end="url(#tip)"/>'


def _back(frm: Box, to: Box, y: float) -> str:
    start, end = frm.x + frm.width * 0.6, to.x + to.width * 0.4
    corners = ((start, frm.y + HEIGHT), (start, y), (end, y), (end, to.y + HEIGHT))
    found = "M" + "L".join(f"{x:.1f} {down:.1f}" for x, down in corners)
    return f'<path d="{found}" stroke-dasharray="5 4" marker-end="url(#tip)"/>'
