"""The conformance suite the whole way: `cwltest`, the runner, the API, workers and pilots of a `diracx up`.

`python -m tests.cwl.over_http [PATTERN ...]` runs all tests without the tag docker, or those whose names hold
one of the patterns. It prints how many passed, and exits with 1 when another fails than those that need what
the machine does not have.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from cwltest.utils import load_and_validate_tests

from tests.cwl.test_conformance import CONTAINER, KNOWN, with_underscore
from tests.system import System

SLOTS = 4
AT_ONCE = 6
# One test, and all of them.
TEST_SECONDS = 120
MOST_SECONDS = 3600
TOOL = f'#!/bin/sh\nexec {sys.executable} -m diracx_tasks.cli.runner "$@"\n'


def main(patterns: list[str]) -> int:
    """The exit code: 0 when nothing fails but what is known to."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        folder = Path(name)
        suite = with_underscore(folder)
        wanted = chosen(suite, patterns)
        with System(folder / "data", {}, f"--slots={SLOTS}"):
            began = time.monotonic()
            outcomes = run(suite, wanted, folder)
            took = time.monotonic() - began
    return report(outcomes, took)


def chosen(suite: Path, patterns: list[str]) -> dict[int, str]:
    """The names, by their numbers from 1, of the tests to be run; no node would take the others' jobs."""
    tests, _ = load_and_validate_tests(str(suite / "conformance_tests.yaml"))
    names = [one["id"].rpartition("#")[2] for one in tests if "docker" not in one["tags"]]
    return {
        number: name
        for number, name in enumerate(names, 1)
        if not KNOWN.get(name, "").startswith(CONTAINER)
        and (not patterns or any(pattern in name for pattern in patterns))
    }


def run(suite: Path, wanted: dict[int, str], folder: Path) -> dict[str, str]:
    """The words about each test by its name; '' for one that passed."""
    tool, results = folder / "runner", folder / "results.xml"
    tool.write_text(TOOL)
    tool.chmod(0o755)
    command = [sys.executable, "-m", "cwltest", "--test=conformance_tests.yaml", f"--tool={tool}"]
    command += ["--exclude-tags=docker", f"-j{AT_ONCE}", f"--timeout={TEST_SECONDS}"]
    command += [f"--junit-xml={results}", f"-n={','.join(map(str, wanted))}"]
    environment = {**os.environ, "DIRACX_DATA": str(folder / "data"), "TMPDIR": str(folder)}
    subprocess.run(command, cwd=suite, env=environment, check=False, timeout=MOST_SECONDS)
    # The names in the file are wrong when not all tests were run (cwltest 2.7); their order is right.
    cases = ElementTree.parse(results).iter("testcase")
    return {name: _words(case) for name, case in zip(wanted.values(), cases, strict=True)}


def report(outcomes: dict[str, str], took: float) -> int:
    """Print the counts; the exit code."""
    others = {name: words for name, words in outcomes.items() if words}
    unexpected = sorted(set(others) - set(KNOWN))
    print(f"{len(outcomes) - len(others)} of {len(outcomes)} tests passed in {took:.0f} s")
    for name in sorted(set(others) & set(KNOWN)):
        print(f"as known: {name}: {KNOWN[name]}")
    for name in unexpected:
        print(f"unexpected: {name}: {others[name]}")
    return 1 if unexpected else 0


def _words(case: ElementTree.Element) -> str:
    wrong = next(
        (one for kind in ("failure", "error", "skipped") if (one := case.find(kind)) is not None), None
    )
    if wrong is None:
        return ""
    said = case.findtext("system-err") or ""
    return f"{wrong.tag}: {wrong.get('message') or wrong.text or ''} {said.strip()[-400:]}".strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
