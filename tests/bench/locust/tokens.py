"""`python -m tests.bench.locust.tokens VO COUNT >pilot-tokens`: tokens of so many pilots, one a line.

It runs with the settings of the installation that is to be measured: only its keys can sign them.
"""

import sys

from diracx_tasks.auth.tokens import issue_pilot

HOURS = 24


def main() -> None:
    """Write the tokens; they are good for a day, and the same pilots' each time."""
    if len(sys.argv) != 3:
        sys.exit("python -m tests.bench.locust.tokens VO COUNT")
    vo, count = sys.argv[1], int(sys.argv[2])
    for number in range(count):
        print(issue_pilot(vo, f"locust-{number:05}", seconds=HOURS * 3600))


if __name__ == "__main__":
    main()
