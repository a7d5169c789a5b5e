"""A timeline as SVG: for each job a line with its attempts, or for many jobs how many ran at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup, escape

from diracx_api.ui.words import number, plural, span
from diracx_tasks.workflows.timeline import Bar

LEFT, WIDTH, RIGHT = 210.0, 900.0, 36.0
ROW, HEAD, TITLE, LANE = 16.0, 30.0, 24.0, 44.0
# A step with more jobs is drawn as one lane.
JOBS = 12
LETTERS = 28
BINS = 120
# Distances of the axis's marks in seconds, and how many there are at most.
TICKS: tuple[int, ...] = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200)
TICKS += tuple(86400 * days for days in (1, 2, 5, 10, 20, 50, 100, 200, 500))
MOST_TICKS = 9


@dataclass(frozen=True)
class Lane:
    """A step: its name, address and state, the jobs that are known of it, how many it has, and bad ones."""

    name: str
    address: str
    state: str
    bars: Sequence[Bar]
    total: int
    bad: int = 0

    @property
    def is_wide(self) -> bool:
        """Whether it is drawn as one lane; a step without jobs (skipped, or taken from before) is not."""
        return len(self.bars) > JOBS or self.total > len(self.bars) > 0

    @property
    def height(self) -> float:
        """How much room it takes."""
        return TITLE + (LANE if self.is_wide else ROW * max(1, len(self.bars)))


@dataclass(frozen=True)
class Axis:
    """Times from the left to the right."""

    begin: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """From end to end; something even if all happened at once."""
        return max(1.0, (self.end - self.begin).total_seconds())

    def x(self, moment: datetime) -> float:
        """Where a moment is, within the picture."""
        share = (moment - self.begin).total_seconds() / self.seconds
        return LEFT + WIDTH * min(1.0, max(0.0, share))

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Places with words, at round distances from the beginning."""
        step = next((one for one in TICKS if self.seconds / one <= MOST_TICKS), TICKS[-1])
        for tick in range(int(self.seconds / step) + 1):
            after = timedelta(seconds=tick * step)
            yield self.x(self.begin + after), span(after.total_seconds()) if tick else "0"


def timeline(lanes: Sequence[Lane], axis: Axis, now: datetime | None) -> Markup:
    """The picture; `now` draws the line up to which things have happened, None: all is over."""
    height = HEAD + sum(lane.height for lane in lanes) + 8
    width = LEFT + WIDTH + RIGHT
    parts = [
        '<div class="scroll timeline" role="region" tabindex="0" aria-label="Timeline, drawn">',
        f'<svg role="list" aria-label="Steps over time" width="{width:.0f}" height="{height:.0f}" ',
        f'viewBox="0 0 {width:.0f} {height:.0f}">',
        *_axis(axis, height),
    ]
    y = HEAD
    for lane in lanes:
        parts += _lane(lane, axis, y)
        y += lane.height
    if now is not None:
        x = axis.x(now)
        parts.append(f'<path class="now" aria-hidden="true" d="M{x:.1f} {HEAD - 6:.0f}V{height:.0f}"/>')
    return Markup("".join([*parts, "</svg></div>"]))


def _axis(axis: Axis, height: float) -> Iterator[str]:
    yield '<g class="axis" aria-hidden="true">'
    for x, words in axis.ticks():
        yield f'<path d="M{x:.1f} {HEAD - 6:.0f}V{height:.0f}"/>'
        yield f'<text x="{x:.1f}" y="{HEAD - 12:.0f}">{escape(words)}</text>'
    yield "</g>"


def _lane(lane: Lane, axis: Axis, y: float) -> Iterator[str]:
    name = escape(lane.name if len(lane.name) <= LETTERS else f"…{lane.name[1 - LETTERS :]}")
    count = plural(lane.total, "job") + (f", {number(lane.bad)} failed or killed" if lane.bad else "")
    yield f'<g role="listitem" class="lane"><a href="{escape(lane.address)}" '
    yield f'aria-label="{escape(lane.name)}, {escape(lane.state)}, {count}">'
    yield f'<text class="name" x="4" y="{y + 16:.0f}">{name}</text></a>'
    yield f'<text class="word s-{escape(lane.state.lower())}" x="{LEFT:.0f}" y="{y + 16:.0f}">'
    yield f"{escape(lane.state)}, {count}{escape(_sampled(lane))}</text>"
    yield from _profile(lane, axis, y + TITLE) if lane.is_wide else _rows(lane, axis, y + TITLE)
    yield "</g>"


def _sampled(lane: Lane) -> str:
    now = sum(not bar.is_earlier for bar in lane.bars)
    return f", drawn from {now} of them" if now < lane.total else ""


def _rows(lane: Lane, axis: Axis, y: float) -> Iterator[str]:
    for row, bar in enumerate(lane.bars):
        yield from _job(bar, axis, y + row * ROW, is_alone=lane.total == 1)


def _job(bar: Bar, axis: Axis, y: float, *, is_alone: bool) -> Iterator[str]:
    """A job's attempts one after the other, before each of them how it waited."""
    job, since = bar.times, bar.times.submitted_at
    who = f"job {job.job_id}" if is_alone else f"[{bar.slot}] job {job.job_id}"
    yield f'<text class="who" x="{LEFT - 8:.0f}" y="{y + 11:.0f}">{who}</text>'
    for one in job.spans:
        yield from _bar(
            "waits", axis, (since, one.started_at), y, f"{who} waits before attempt {one.attempt}"
        )
        end = one.ended_at or axis.end
        status = job.status if one is job.spans[-1] else one.status
        words = f"{who}, attempt {one.attempt}: {status} at {one.site} {one.reason}"
        yield from _bar(f"s-{status.lower()}", axis, (one.started_at, end), y, words)
        since = one.ended_at
    if since is not None and not job.is_over:
        yield from _bar("waits", axis, (since, axis.end), y, f"{who} is {job.status}")


def _bar(
    kind: str, axis: Axis, times: tuple[datetime | None, datetime], y: float, words: str
) -> Iterator[str]:
    begin, end = times
    if begin is None:
        return
    x, width = axis.x(begin), max(1.5, axis.x(end) - axis.x(begin))
    place = f'x="{x:.1f}" y="{y + 2:.0f}" width="{width:.1f}" height="{ROW - 4:.0f}"'
    long = span(max(0.0, (end - begin).total_seconds()))
    yield f'<rect class="bar {escape(kind)}" {place}><title>{escape(f"{words}, {long}")}</title></rect>'


def _profile(lane: Lane, axis: Axis, y: float) -> Iterator[str]:
    """How many of the jobs waited, and how many ran, at each time: as two areas."""
    waits = [(bar.times.submitted_at, bar.times.started_at) for bar in lane.bars]
    runs = [(one.started_at, one.ended_at) for bar in lane.bars for one in bar.times.spans]
    most = max([1.0, *_at_a_time(waits, axis), *_at_a_time(runs, axis)])
    for kind, words, spans in (("waits", "wait", waits), ("runs", "run", runs)):
        counts = _at_a_time(spans, axis)
        peak = max(counts) / len(lane.bars) * 100
        area = _area(counts, most, y)
        title = f"{lane.name}: up to {peak:.0f} % of the jobs {words} at a time"
        yield f'<path class="bar {kind}" d="{area}"><title>{escape(title)}</title></path>'


def _at_a_time(spans: Sequence[tuple[datetime | None, datetime | None]], axis: Axis) -> list[float]:
    """For each of BINS equal times, how many spans there are in it on average."""
    found, long = [0.0] * BINS, axis.seconds / BINS
    for begin, end in spans:
        if begin is None:
            continue
        first = max(0.0, (begin - axis.begin).total_seconds() / long)
        last = min(float(BINS), ((end or axis.end) - axis.begin).total_seconds() / long)
        for place in range(int(first), min(BINS, int(last) + 1)):
            found[place] += max(0.0, min(last, place + 1) - max(first, place))
    return found


def _area(counts: Sequence[float], most: float, y: float) -> str:
    high = LANE - 6
    steps = "".join(
        f"V{y + high * (1 - count / most):.1f}H{LEFT + WIDTH * (place + 1) / BINS:.1f}"
        for place, count in enumerate(counts)
    )
    return f"M{LEFT:.1f} {y + high:.1f}{steps}V{y + high:.1f}Z"
