"""`python -m tests.bench NAME [COUNT]`: one benchmark, with the peer's figures beside ours."""

import sys
from collections.abc import Callable

from tests.bench import api, overhead, tasks

BENCHES: dict[str, Callable[..., None]] = {"api": api.main, "overhead": overhead.main, "tasks": tasks.main}


def main() -> None:
    """Run the benchmark that is named."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in BENCHES:
        sys.exit(f"python -m tests.bench NAME [COUNT]: NAME is one of {', '.join(BENCHES)}")
    # `api` has options, the others a count.
    BENCHES[name](*(sys.argv[2:] if name == "api" else map(int, sys.argv[2:])))


if __name__ == "__main__":
    main()
