"""The official conformance suite of CWL v1.2, run by the product's engine and node.

The suite is looked for in DIRACX_CWL_CONFORMANCE, else in ../shared/data/cwl-conformance beside the
repository. Its nodes have no container engine, as cwltool has none with `--no-container`.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from cwltest.compare import compare
from cwltest.utils import load_and_validate_tests

from tests.cwl import pool
from tests.cwl.engine import Ended
from tests.servers import Redis
from tests.servers.programs import need

BESIDE = Path(__file__).parents[3] / "shared" / "data" / "cwl-conformance"
SUITE = Path(os.environ.get("DIRACX_CWL_CONFORMANCE", BESIDE))
CONTAINER = "needs a container engine on the node"
KNOWN = {
    "networkaccess": CONTAINER,
    "networkaccess_disabled": CONTAINER,
    "iwd-passthrough2": CONTAINER,
    "iwd-container-entryname1": CONTAINER,
    "iwdr_dir_literal_real_file": CONTAINER,
    "cwloutput_nolimit": f"{CONTAINER}; the suite's mkfilelist.py is not part of the prepared copy",
    "illegal_symlink": "only a container keeps a tool from following a link out of its folder",
}
# A program of npm that the suite does not bring: its script `prepare` fetches it.
NEEDS_UNDERSCORE = ("initworkdir_expreng_requirements",)
UNDERSCORE = Path("tests") / "underscore.js"


@cache
def suite() -> dict[str, dict[str, Any]]:
    """The tests by their ids; those tagged docker are left out."""
    if not (SUITE / "conformance_tests.yaml").exists():
        return {}
    found, _ = load_and_validate_tests(str(SUITE / "conformance_tests.yaml"))
    return {one["id"].rpartition("#")[2]: one for one in found if "docker" not in one["tags"]}


def cases() -> list[Any]:
    """The tests as parameters; a known failure that passes is a failure."""
    marks = {
        name: pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError)
        for name, reason in KNOWN.items()
    }
    return [pytest.param(name, id=name, marks=marks.get(name, ())) for name in suite()]


@pytest.fixture(scope="module")
def endings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: Redis
) -> Iterator[dict[str, Future[Ended]]]:
    """The endings of all selected tests, which run in as many processes as there are cores."""
    work = tmp_path_factory.mktemp("conformance")
    items = [item for item in request.session.items if item.path == request.path]
    names = [item.callspec.params["name"] for item in items if hasattr(item, "callspec")]
    processes = min(len(os.sched_getaffinity(0)), len(names))
    whole = with_underscore(work) if set(names) & set(NEEDS_UNDERSCORE) else SUITE
    given = (work, redis_server.url)
    with ProcessPoolExecutor(processes, get_context("spawn"), pool.start, given) as executor:
        # The slowest first: they sleep.
        order = sorted(names, key=lambda name: "timelimit" not in suite()[name]["tags"])
        yield {name: executor.submit(pool.run, *_arguments(name, whole), work / name) for name in order}
        executor.shutdown(cancel_futures=True)
    shutil.rmtree(work, ignore_errors=True)


@pytest.mark.skipif(not suite(), reason=f"no conformance suite in {SUITE}: set DIRACX_CWL_CONFORMANCE")
@pytest.mark.parametrize("name", cases())
def test_conformance(name: str, endings: dict[str, Future[Ended]]) -> None:
    if name in NEEDS_UNDERSCORE and not (SUITE / UNDERSCORE).exists():
        need("npm")
    case = suite()[name]
    ended = endings[name].result(timeout=200)
    assert ended.kind != "unsupported", ended.reason
    if case.get("should_fail"):
        assert ended.status == "Failed"
    else:
        assert ended.status == "Done", ended.reason
        compare(case.get("output"), ended.outputs)


def test_every_known_failure_is_a_test_of_the_suite() -> None:
    if not suite():
        pytest.skip(f"no conformance suite in {SUITE}: set DIRACX_CWL_CONFORMANCE")
    assert set(KNOWN) <= set(suite())


def with_underscore(work: Path) -> Path:
    """The suite, or a copy of it with underscore.js, if there is npm."""
    if (SUITE / UNDERSCORE).exists() or not shutil.which("npm"):
        return SUITE
    copy = work / "suite"
    subprocess.run([SUITE / "prepare", copy], check=True, timeout=120)
    return copy


def _arguments(name: str, whole: Path) -> tuple[str, str | None]:
    """The paths of a test's document and inputs."""
    case, suite_of_it = suite()[name], whole if name in NEEDS_UNDERSCORE else SUITE
    tool, job = (_path(case[key]) if case.get(key) else None for key in ("tool", "job"))
    assert tool is not None
    moved = [one.replace(str(SUITE), str(suite_of_it), 1) if one else None for one in (tool, job)]
    return moved[0] or "", moved[1]


def _path(uri: str) -> str:
    return unquote(uri.removeprefix("file://"))
