"""simulate.py SEED POINTS: hits of the quarter circle in 100 batches of random points, as JSON."""

import json
import random
import sys

BATCHES = 100


def hits(rng: random.Random, points: int) -> int:
    """How many random points of the unit square lie inside the quarter circle."""
    return sum(rng.random() ** 2 + rng.random() ** 2 <= 1 for _ in range(points))


if __name__ == "__main__":
    seed, points = int(sys.argv[1]), int(sys.argv[2])
    rng = random.Random(seed)
    per_batch = points // BATCHES
    print(f"seed {seed}: {BATCHES} batches of {per_batch} points", file=sys.stderr)
    batches = [hits(rng, per_batch) for _ in range(BATCHES)]
    json.dump({"seed": seed, "points_per_batch": per_batch, "hits": batches}, sys.stdout)
