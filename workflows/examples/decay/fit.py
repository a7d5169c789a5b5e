"""fit.py MASSES...: a peak over an exponential, fitted to the histogram of all masses, as fit.json."""

import json
import math
import sys
from pathlib import Path

LOW, HIGH, BINS = 2.9, 3.3, 80
BIN = (HIGH - LOW) / BINS
CENTRES = [LOW + (number + 0.5) * BIN for number in range(BINS)]
STEPS = 40


def model(x: float, values: list[float]) -> tuple[float, list[float]]:
    """Entries that are expected in the bin around x, and their derivatives by all values."""
    signal, mean, width, background, slope = values
    pull = (x - mean) / width
    peak = BIN * math.exp(-pull * pull / 2) / (width * math.sqrt(2 * math.pi))
    floor = BIN * math.exp(-slope * (x - LOW))
    by_mean, by_width = signal * peak * pull / width, signal * peak * (pull * pull - 1) / width
    expected = signal * peak + background * floor
    return expected, [peak, by_mean, by_width, floor, -background * floor * (x - LOW)]


def solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """The solution of a system of linear equations (Gauss, with pivots)."""
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for place in range(size):
        pivot = max(range(place, size), key=lambda number: abs(rows[number][place]))
        rows[place], rows[pivot] = rows[pivot], rows[place]
        for below in range(place + 1, size):
            factor = rows[below][place] / rows[place][place]
            rows[below] = [one - factor * two for one, two in zip(rows[below], rows[place], strict=True)]
    found = [0.0] * size
    for place in reversed(range(size)):
        rest = sum(rows[place][number] * found[number] for number in range(place + 1, size))
        found[place] = (rows[place][size] - rest) / rows[place][place]
    return found


def information(values: list[float], entries: list[int]) -> tuple[list[list[float]], list[float]]:
    """Fisher's matrix of the Poisson likelihood, and its gradient."""
    size = len(values)
    matrix, gradient = [[0.0] * size for _ in range(size)], [0.0] * size
    for x, count in zip(CENTRES, entries, strict=True):
        expected, slopes = model(x, values)
        expected = max(expected, 1e-9)
        for row in range(size):
            gradient[row] += slopes[row] * (count - expected) / expected
            for column in range(size):
                matrix[row][column] += slopes[row] * slopes[column] / expected
    return matrix, gradient


def fit(entries: list[int]) -> tuple[list[float], list[float]]:
    """Values of the largest likelihood, and their errors (scoring, Fisher)."""
    total = float(sum(entries))
    values = [0.3 * total, 3.1, 0.02, 2 * total, 2.0]
    for _ in range(STEPS):
        step = solved(*information(values, entries))
        values = [value + part for value, part in zip(values, step, strict=True)]
        values[2] = max(abs(values[2]), BIN / 2)
    matrix, _ = information(values, entries)
    units = [[float(row == column) for row in range(5)] for column in range(5)]
    return values, [math.sqrt(solved(matrix, unit)[place]) for place, unit in enumerate(units)]


if __name__ == "__main__":
    masses = [float(line) for name in sys.argv[1:] for line in Path(name).read_text().split()]
    entries = [0] * BINS
    for mass in masses:
        entries[min(int((mass - LOW) / BIN), BINS - 1)] += 1
    values, errors = fit(entries)
    found = {
        "yield": round(values[0], 1),
        "yield_error": round(errors[0], 1),
        "mass": round(values[1], 5),
        "mass_error": round(errors[1], 5),
        "width": round(values[2], 5),
        "background": round(values[3], 1),
        "slope": round(values[4], 3),
        "low": LOW,
        "high": HIGH,
        "entries": entries,
    }
    Path("fit.json").write_text(json.dumps(found) + "\n")
    print(f"{found['yield']} +- {found['yield_error']} decays at {found['mass']} GeV", file=sys.stderr)
