"""The grid of numbers: what jobs ask is rounded up on it, what nodes offer down, so that both stay few.

A job that asks for a value of the grid fits a node that offers the same value. Grids are made of the
values that people write: whole minutes, hours and days; multiples of 256 MB and of 500 MB.
"""

from collections.abc import Sequence

# DIRAC's taskQueueCPUTimeIntervals, in seconds: from six minutes to twelve and a half days.
DAY = 86400
SEGMENTS = (360, 1800, 3600, 21600, 43200, DAY, *(n * DAY for n in (2, 3, 4, 6, 8, 10)), 1_080_000)
# What has no limit is offered as this; a double holds it exactly.
UNLIMITED = 2**53
# Up to so many seconds, in steps of so many; DIRAC's segments are all among these values.
STEPS = ((3600, 60), (DAY, 600), (7 * DAY, 3600), (UNLIMITED, DAY // 2))
RAM = (256, 500)
PER_CORE = (32, 50)
GIBIBYTE = 1024

TIMES = frozenset({"wall_time", "cpu_time"})
SIZES = {"ram": RAM, "gpu_ram": RAM, "ram_per_core": PER_CORE}
ROUGH = frozenset({"cpu_work", "lan"})


def up(dimension: str, value: int) -> int:
    """The least value of the dimension's grid that is not less."""
    if dimension in TIMES:
        return _upwards(value, _step(value))
    if dimension in SIZES:
        return min(_upwards(value, step) for step in SIZES[dimension])
    if dimension == "scratch":
        return min(_digits_up(value), GIBIBYTE * _digits_up(-(-value // GIBIBYTE)))
    return _digits_up(value) if dimension in ROUGH else value


def down(dimension: str, value: int) -> int:
    """The greatest value of the dimension's grid that is not more."""
    if value >= UNLIMITED:
        return UNLIMITED
    if dimension in TIMES:
        return value - value % _step(value)
    if dimension in SIZES:
        return max(value - value % step for step in SIZES[dimension])
    if dimension == "scratch":
        return max(_digits_down(value), GIBIBYTE * _digits_down(value // GIBIBYTE))
    return _digits_down(value) if dimension in ROUGH else value


def segment(seconds: int, segments: Sequence[int] = SEGMENTS) -> int:
    """The CPU time of a DIRAC job: up to the next segment, beyond the last one down to it."""
    return min((one for one in segments if one >= seconds), default=max(segments))


def _step(seconds: int) -> int:
    return next(step for most, step in STEPS if seconds <= most)


def _upwards(value: int, step: int) -> int:
    return -(-value // step) * step


def _unit(value: int) -> int:
    """What the second significant digit counts in."""
    return int(10 ** max(0, len(str(value)) - 2))


def _digits_up(value: int) -> int:
    return _upwards(value, _unit(value))


def _digits_down(value: int) -> int:
    return value - value % _unit(value)
