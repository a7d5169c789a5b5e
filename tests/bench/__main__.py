"""`python -m tests.bench NAME [COUNT]`: one benchmark, with the peer's figures beside ours."""

import sys
from collections.abc import Callable

from tests.bench import api, cwl, lifecycle, matching, overhead, pages, pilots, tasks

BENCHES: dict[str, Callable[..., None]] = {
    "api": api.main,
    "cwl": cwl.main,
    "lifecycle": lifecycle.main,
    "matching": matching.main,
    "overhead": overhead.main,
    "pages": pages.main,
    "pilots": pilots.main,
    "tasks": tasks.main,
}
# These have options, the others a count.
OPTIONS = ("api", "cwl", "lifecycle", "matching", "pages")


def main() -> None:
    """Run the benchmark that is named."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in BENCHES:
        sys.exit(f"python -m tests.bench NAME [COUNT]: NAME is one of {', '.join(BENCHES)}")
    BENCHES[name](*(sys.argv[2:] if name in OPTIONS else map(int, sys.argv[2:])))


if __name__ == "__main__":
    main()
