"""gather.py COUNTS...: all simulations together as pi.json and histogram.png."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

INK, FAINT, BARS, PI = "#22303c", "#8a97a3", "#9dbfd9", "#c8442f"


def estimate(counts: list[dict[str, Any]]) -> dict[str, Any]:
    """Pi, its standard error, and what they were computed from."""
    points = sum(one["points_per_batch"] * len(one["hits"]) for one in counts)
    hits = sum(sum(one["hits"]) for one in counts)
    share = hits / points
    return {
        "estimate": 4 * share,
        "error": 4 * math.sqrt(share * (1 - share) / points),
        "points": points,
        "hits": hits,
        "seeds": sorted(one["seed"] for one in counts),
    }


def plot(counts: list[dict[str, Any]], found: dict[str, Any], path: str) -> None:
    """How single batches spread around pi, with the normal distribution that theory expects."""
    per_batch = counts[0]["points_per_batch"]
    batches = [4 * hits / per_batch for one in counts for hits in one["hits"]]
    spread = 4 * math.sqrt(math.pi / 4 * (1 - math.pi / 4) / per_batch)
    # Estimates are multiples of 4 / per_batch: bins that hold equally many of them show no comb.
    step = 4 / per_batch
    width = step * max(1, round(spread / 4 / step))
    first = step * (round((math.pi - 4 * spread) / step) - 0.5)
    edges = [first + width * number for number in range(math.ceil(8 * spread / width) + 1)]
    at = [math.pi + spread * number / 25 for number in range(-100, 101)]
    height = len(batches) * width / (spread * math.sqrt(2 * math.pi))

    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=150, layout="constrained")
    axes.hist(batches, bins=edges, color=BARS, edgecolor="white", linewidth=0.8)
    axes.plot(at, [height * math.exp(-(((x - math.pi) / spread) ** 2) / 2) for x in at], color=FAINT)
    top = axes.get_ylim()[1] * 1.08
    axes.set_ylim(0, top)
    axes.axvline(math.pi, color=PI, linewidth=1.5)
    axes.text(math.pi + spread * 0.08, top * 0.97, "π", color=PI, fontsize=16, va="top")
    axes.text(math.pi + spread * 1.6, height * 0.4, "normal distribution", color=FAINT, fontsize=10)

    title = f"π ≈ {found['estimate']:.5f} ± {found['error']:.5f}"
    axes.set_title(title, loc="left", fontsize=15, fontweight="bold", color=INK, pad=24)
    words = (
        f"{found['points']:,} points in {len(counts)} simulations, {len(batches)} batches of {per_batch:,}"
    )
    axes.text(0, 1.03, words, transform=axes.transAxes, color=FAINT, fontsize=10)
    axes.set_xlabel("estimate of one batch", color=INK)
    axes.set_ylabel("batches", color=INK)
    axes.tick_params(colors=INK, length=0)
    axes.grid(axis="y", color="#e6eaee", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.savefig(path)


if __name__ == "__main__":
    counts = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    found = estimate(counts)
    Path("pi.json").write_text(json.dumps(found, indent=1) + "\n")
    plot(counts, found, "histogram.png")
    print(f"pi = {found['estimate']:.6f} +- {found['error']:.6f}", file=sys.stderr)
