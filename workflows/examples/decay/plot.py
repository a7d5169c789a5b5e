"""plot.py FIT: the histogram of masses with fitted peak and background, and the pulls below, as peak.png."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

INK, FAINT, PEAK = "#22303c", "#8a97a3", "#c8442f"


def curve(found: dict[str, Any], x: float, width: float) -> tuple[float, float]:
    """Entries per bin that are expected at x: of the background, and of all."""
    floor = found["background"] * width * math.exp(-found["slope"] * (x - found["low"]))
    pull = (x - found["mass"]) / found["width"]
    peak = found["yield"] * width * math.exp(-pull * pull / 2) / (found["width"] * math.sqrt(2 * math.pi))
    return floor, floor + peak


def plot(found: dict[str, Any], path: str) -> None:
    """Draw it."""
    entries = found["entries"]
    width = (found["high"] - found["low"]) / len(entries)
    centres = [found["low"] + (number + 0.5) * width for number in range(len(entries))]
    fine = [found["low"] + (found["high"] - found["low"]) * number / 400 for number in range(401)]

    figure, (above, below) = plt.subplots(
        2, 1, sharex=True, figsize=(8, 5.5), dpi=150, layout="constrained", height_ratios=[4, 1]
    )
    errors = [math.sqrt(count) for count in entries]
    above.errorbar(centres, entries, errors, fmt=".", color=INK, markersize=4, linewidth=0.8)
    above.plot(fine, [curve(found, x, width)[1] for x in fine], color=PEAK, linewidth=1.8)
    above.plot(fine, [curve(found, x, width)[0] for x in fine], color=FAINT, linestyle="--", linewidth=1.2)
    title = f"{found['yield']:.0f} ± {found['yield_error']:.0f} decays"
    above.set_title(title, loc="left", fontsize=15, fontweight="bold", color=INK, pad=24)
    words = f"at {found['mass']:.4f} ± {found['mass_error']:.4f} GeV, {sum(entries):,} pairs"
    above.text(0, 1.03, words, transform=above.transAxes, color=FAINT, fontsize=10)
    above.set_ylabel(f"pairs per {1000 * width:.0f} MeV", color=INK)
    above.set_ylim(bottom=0)

    expected = [curve(found, x, width)[1] for x in centres]
    pulls = [(count - mean) / math.sqrt(mean) for count, mean in zip(entries, expected, strict=True)]
    below.bar(centres, pulls, width=width, color=FAINT)
    below.set_ylim(-4, 4)
    below.set_ylabel("pull", color=INK)
    below.set_xlabel("mass of the pair [GeV]", color=INK)
    for axes in (above, below):
        axes.tick_params(colors=INK, length=0)
        axes.grid(axis="y", color="#e6eaee", linewidth=0.8)
        axes.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
    figure.savefig(path)


if __name__ == "__main__":
    plot(json.loads(Path(sys.argv[1]).read_text()), "peak.png")
