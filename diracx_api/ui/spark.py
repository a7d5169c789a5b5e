"""Small drawings of how an amount went on: a line in a box, with its largest value in words."""

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT, EDGE = 320, 64, 4
# As many points as can be told apart.
MOST_POINTS = WIDTH // 2


def line(values: Sequence[float], label: str) -> Markup:
    """An SVG of a line from the first value to the last; `label` says what it shows, with its unit."""
    shown = _thinned(values)
    top = max(shown, default=0) or 1
    step = (WIDTH - 2 * EDGE) / max(len(shown) - 1, 1)
    points = " ".join(
        f"{EDGE + index * step:.1f},{HEIGHT - EDGE - value / top * (HEIGHT - 2 * EDGE):.1f}"
        for index, value in enumerate(shown)
    )
    return Markup(
        '<svg class="spark" role="img" viewBox="0 0 {} {}" preserveAspectRatio="none"><title>{}</title>'
        '<polyline points="{}" vector-effect="non-scaling-stroke"/></svg>'
    ).format(WIDTH, HEIGHT, label, points)


def _thinned(values: Sequence[float]) -> list[float]:
    """The largest of each stretch, so that no peak is lost."""
    size = -(-len(values) // MOST_POINTS) or 1
    return [max(values[first : first + size]) for first in range(0, len(values), size)]
