"""A plot of amounts over time as one SVG text: bars on top of each other, a colour for each series."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from xml.sax.saxutils import escape

# What is no XML, and what would break a line of text.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]+")
# To be told apart also by who sees no red or no green (Okabe and Ito); the last is the others'.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")
WIDTH, HEIGHT = 720.0, 300.0
LEFT, TOP, BELOW, GAP, LINE = 80.0, 44.0, 50.0, 24.0, 18.0
LONGEST = 40
LETTER = 7.4
TICKS = 5
LABELS = 8
ROUND = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1b1f24}.small{font-size:11px;fill:#57606a}"
    ".grid{stroke:#d0d7de;stroke-width:1}.axis{stroke:#57606a;stroke-width:1}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9da7b3}.grid{stroke:#30363d}"
    ".axis{stroke:#9da7b3}}"
)
Amounts = Mapping[datetime, float]


@dataclass(frozen=True)
class Plot:
    """What is to be seen: series by name, in `unit`, from `start` to `end` in steps."""

    title: str
    unit: str
    start: datetime
    end: datetime
    step: timedelta
    series: Mapping[str, Amounts]
    # Whether the amounts of steps make a sum; not of jobs that are looked at again and again.
    is_sum: bool = True

    @property
    def count(self) -> int:
        """How many steps there are."""
        return max(1, math.ceil((self.end - self.start) / self.step))

    @property
    def times(self) -> list[datetime]:
        """The starts of all steps."""
        return [self.start + number * self.step for number in range(self.count)]

    @property
    def wide(self) -> float:
        """The width of a step."""
        return WIDTH / self.count

    @property
    def latest(self) -> datetime | None:
        """The last step in which any series has an amount; None: none has."""
        return max((at for amounts in self.series.values() for at in amounts), default=None)

    def label(self, name: str, amounts: Amounts) -> str:
        """A series and its sum, or what it was at last."""
        short = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        told = sum(amounts.values()) if self.is_sum else self._at_last(amounts)
        return f"{short}: {_amount(told)} {self.unit}"

    def _at_last(self, amounts: Amounts) -> float:
        latest = self.latest
        return amounts.get(latest, 0.0) if latest else 0.0


def svg(plot: Plot) -> str:
    """The picture, with a title and a description for those who cannot see it.

    Beside the names are the sums of series, or the last amounts of what makes no sum. Of more series than
    there are colours the smallest are one.
    """
    series = _largest(plot.series)
    labels = [plot.label(name, amounts) for name, amounts in series.items()]
    width = LEFT + WIDTH + GAP + 2 * LINE + LETTER * max(map(len, labels), default=0)
    height = TOP + max(HEIGHT + BELOW, LINE * (len(series) + 1))
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    top = _rounded(max(sum(one.get(at, 0.0) for one in series.values()) for at in plot.times))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title words" {size}>',
        f'<title id="title">{_text(plot.title)}</title>',
        f'<desc id="words">{_text(_in_words(plot, labels))}</desc>',
        f"<style>{STYLE}</style>",
        f'<text x="{LEFT:.0f}" y="20">{_text(plot.title)}</text>',
        *_scale(plot, top),
        *_bars(plot, series, top),
        *_calendar(plot),
        *_legend(labels),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def words(text: str) -> str:
    """A picture that says why there is no plot."""
    size = f'width="{LEFT + WIDTH:.0f}" height="60" viewBox="0 0 {LEFT + WIDTH:.0f} 60"'
    told = _text(text)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title" {size}>',
        f'<title id="title">{told}</title>',
        f"<style>{STYLE}</style>",
        f'<text x="10" y="34">{told}</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _largest(series: Mapping[str, Amounts]) -> dict[str, Amounts]:
    by_size = sorted(series.items(), key=lambda one: (-sum(one[1].values()), one[0]))
    if len(by_size) <= len(COLOURS):
        return dict(by_size)
    found, rest = dict(by_size[: len(COLOURS) - 1]), by_size[len(COLOURS) - 1 :]
    together: dict[datetime, float] = {}
    for _, amounts in rest:
        for at, amount in amounts.items():
            together[at] = together.get(at, 0.0) + amount
    found[f"all {len(rest)} others"] = together
    return found


def _rounded(most: float) -> float:
    """The top of the axis: a round number at or above the largest amount."""
    if most <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(most))
    return float(next((one * size for one in ROUND if one * size >= most), 10 * size))


def _scale(plot: Plot, top: float) -> Iterator[str]:
    """Lines across the picture, each with its amount, and the name of the axis."""
    for number in range(TICKS + 1):
        y = TOP + HEIGHT - HEIGHT * number / TICKS
        kind, amount = "grid" if number else "axis", _amount(top * number / TICKS)
        yield f'<path class="{kind}" d="M{LEFT:.0f} {y:.1f}h{WIDTH:.0f}"/>'
        yield f'<text class="small" x="{LEFT - 6:.0f}" y="{y + 4:.1f}" text-anchor="end">{amount}</text>'
    y = TOP + HEIGHT / 2
    turned = f'transform="rotate(-90 14 {y:.0f})" text-anchor="middle"'
    yield f'<text class="small" x="14" y="{y:.0f}" {turned}>{_text(plot.unit)}</text>'


def _bars(plot: Plot, series: Mapping[str, Amounts], top: float) -> Iterator[str]:
    under: dict[datetime, float] = {}
    for (name, amounts), colour in zip(series.items(), COLOURS, strict=False):
        yield f'<g fill="{colour}">'
        for number, at in enumerate(plot.times):
            if (amount := amounts.get(at, 0.0)) <= 0:
                continue
            under[at] = under.get(at, 0.0) + amount
            x, y = LEFT + plot.wide * number, TOP + HEIGHT * (1 - under[at] / top)
            size = f'width="{max(0.5, plot.wide * 0.92):.2f}" height="{HEIGHT * amount / top:.2f}"'
            words = _text(f"{name}, {at:%Y-%m-%d %H:%M}: {_amount(amount)} {plot.unit}")
            yield f'<rect x="{x:.2f}" y="{y:.2f}" {size}><title>{words}</title></rect>'
        yield "</g>"


def _calendar(plot: Plot) -> Iterator[str]:
    """Times below the picture: dates, and with steps below a day the time as well."""
    y = TOP + HEIGHT
    for number in range(0, plot.count, max(1, math.ceil(plot.count / LABELS))):
        at, x = plot.start + number * plot.step, LEFT + plot.wide * number
        yield f'<path class="axis" d="M{x:.1f} {y:.0f}v5"/>'
        yield f'<text class="small" x="{x:.1f}" y="{y + 18:.0f}">{at:%Y-%m-%d}</text>'
        if plot.step < timedelta(days=1):
            yield f'<text class="small" x="{x:.1f}" y="{y + 32:.0f}">{at:%H:%M}</text>'
    yield f'<text class="small" x="{LEFT + WIDTH:.0f}" y="{y + 46:.0f}" text-anchor="end">time (UTC)</text>'


def _legend(labels: list[str]) -> Iterator[str]:
    x = LEFT + WIDTH + GAP
    for number, (label, colour) in enumerate(zip(labels, COLOURS, strict=False)):
        y = TOP + LINE * number
        yield f'<rect x="{x:.0f}" y="{y:.0f}" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{x + LINE:.0f}" y="{y + 11:.0f}">{_text(label)}</text>'


def _in_words(plot: Plot, labels: list[str]) -> str:
    period = f"from {plot.start:%Y-%m-%d %H:%M} to {plot.end:%Y-%m-%d %H:%M} UTC"
    return f"{plot.unit} {period}. {'; '.join(labels) or 'There is nothing in this time.'}"


def _amount(found: float) -> str:
    return f"{found:,.0f}" if found >= 1000 else f"{found:.3g}"


def _text(text: str) -> str:
    return escape(CONTROL.sub(" ", text))
