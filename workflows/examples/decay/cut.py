"""cut.py PAIRS MIN_PT: the masses of pairs with this transverse momentum and a good vertex, one a line."""

import sys
from pathlib import Path

MAX_CHI2 = 4.0


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text().splitlines()
    pairs = [line.split(",") for line in lines]
    kept = [mass for mass, pt, chi2 in pairs if float(pt) > float(sys.argv[2]) and float(chi2) < MAX_CHI2]
    print(f"{len(kept)} of {len(pairs)} pairs kept", file=sys.stderr)
    print("\n".join(kept))
