"""`python -m tests.bench NAME [COUNT]`: one benchmark, with the peer's figures beside ours."""

import sys

from tests.bench import overhead, tasks

BENCHES = {"overhead": overhead.main, "tasks": tasks.main}


def main() -> None:
    """Run the benchmark that is named."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in BENCHES:
        sys.exit(f"python -m tests.bench NAME [COUNT]: NAME is one of {', '.join(BENCHES)}")
    BENCHES[name](*map(int, sys.argv[2:]))


if __name__ == "__main__":
    main()
