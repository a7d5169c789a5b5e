"""The conformance suite the whole way: `cwltest`, the runner, the API, workers and pilots of a `diracx up`.

`python -m tests.cwl.over_http [PATTERN ...]` runs all tests without the tag docker, or those whose names hold
one of the patterns. It prints how many passed, and exits with 1 when another fails than those that need what
the machine does not have.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from cwltest.utils import load_and_validate_tests

from diracx_tasks.auth.tokens import issue_pilot
from diracx_tasks.core.database import session
from diracx_tasks.pilots import register
from tests.builders import environment
from tests.cwl.test_conformance import CONTAINER, KNOWN, with_underscore
from tests.system import System

PILOTS = 3
# More than a test asks for.
CORES, RAM_MB = 64, 8000
AT_ONCE = 6
# One test, and all of them.
TEST_SECONDS = 120
MOST_SECONDS = 3600
VO, SITE = "local", "DIRAC.Local.here"
# How cwltest tells of a test that did not pass.
FAILED = re.compile(r"^Test (\d+) (failed|timed out)", re.MULTILINE)
TOOL = f'#!/bin/sh\nexec {sys.executable} -m diracx_tasks.cli.runner --no-reuse "$@"\n'


def main(patterns: list[str]) -> int:
    """The exit code: 0 when nothing fails but what is known to."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        folder = Path(name)
        suite = with_underscore(folder)
        wanted = chosen(suite, patterns)
        with System(folder / "data", {}, "--slots=1") as system, pilots(system, folder):
            began = time.monotonic()
            outcomes = run(suite, wanted, folder)
            took = time.monotonic() - began
    return report(outcomes, took)


@contextmanager
def pilots(system: System, folder: Path) -> Iterator[None]:
    """Pilots with many cores and without containers, beside the one of the system, while the block lasts."""
    started = []
    with environment(DIRACX_DATA=str(system.folder), DIRACX_URL=system.client.url):
        for _ in range(PILOTS):
            with session() as db:
                stamp = register.register(db, VO, site=SITE, grid_type="conformance")
            token = issue_pilot(VO, stamp, seconds=2 * MOST_SECONDS)
            names = {"URL": system.client.url, "TOKEN": token, "PILOT_STAMP": stamp}
            started.append(_pilot({f"DIRACX_{name}": value for name, value in names.items()}, folder))
    try:
        yield
    finally:
        for one in started:
            one.terminate()
        for one in started:
            one.wait(60)


def _pilot(names: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    offer = [f"--site={SITE}", f"--cores={CORES}", f"--ram-mb={RAM_MB}", "--containers=none"]
    command = [sys.executable, "-m", "diracx_tasks.node.pilot", *offer, f"--work-dir={folder / 'work'}"]
    with (folder / "pilots.log").open("ab") as log:
        return subprocess.Popen(command, env={**os.environ, **names}, stdout=log, stderr=log)


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
    # Some documents name files beside their own folder.
    environment["DIRACX_CWL_FOLDER"] = str(suite)
    told = folder / "told"
    with told.open("w") as out:
        subprocess.run(command, cwd=suite, env=environment, stderr=out, check=False, timeout=MOST_SECONDS)
    # A wrong success is a failure without words: it is in what was told, but not in the file of results.
    failed = {wanted[int(number)]: words for number, words in FAILED.findall(told.read_text())}
    # The names in that file are wrong when not all tests were run (cwltest 2.7); their order is right.
    cases = ElementTree.parse(results).iter("testcase")
    words = {name: _words(case) for name, case in zip(wanted.values(), cases, strict=True)}
    return {name: said or failed.get(name, "") for name, said in words.items()}


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
