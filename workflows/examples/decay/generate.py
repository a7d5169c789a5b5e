"""generate.py SEED EVENTS: pairs of muons as lines of mass, transverse momentum (GeV) and vertex chi2."""

import random
import sys

MASS, WIDTH = 3.097, 0.015
LOW, HIGH = 2.9, 3.3
SIGNAL = 0.2


def mass(rng: random.Random, is_signal: bool) -> float:
    """The mass of a pair in GeV: in the peak, or in a background that falls exponentially."""
    while True:
        found = rng.gauss(MASS, WIDTH) if is_signal else LOW + rng.expovariate(2.5)
        if LOW <= found < HIGH:
            return found


if __name__ == "__main__":
    rng = random.Random(int(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        is_signal = rng.random() < SIGNAL
        pt = rng.expovariate(1 / 4.0 if is_signal else 1 / 1.5)
        chi2 = rng.expovariate(1.0 if is_signal else 0.2)
        print(f"{mass(rng, is_signal):.5f},{pt:.4f},{chi2:.4f}")
