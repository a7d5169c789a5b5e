"""The official conformance suite of CWL v1.2, run by the product's engine and node.

The suite is looked for in DIRACX_CWL_CONFORMANCE, else in ../shared/data/cwl-conformance beside the
repository.
"""

import os
import shutil
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

BESIDE = Path(__file__).parents[3] / "shared" / "data" / "cwl-conformance"
SUITE = Path(os.environ.get("DIRACX_CWL_CONFORMANCE", BESIDE))
CONTAINER = "needs a container engine on the node"
INPLACE = "refused: an edited file would have to travel back to the jobs on other machines"
INPUT_REQUIREMENTS = "refused: requirements in the input object do not reach the node yet"
KNOWN = {
    "networkaccess": CONTAINER,
    "networkaccess_disabled": CONTAINER,
    "iwd-passthrough2": CONTAINER,
    "iwd-container-entryname1": CONTAINER,
    "iwdr_dir_literal_real_file": CONTAINER,
    "cwloutput_nolimit": f"{CONTAINER}; the suite's mkfilelist.py is not part of the prepared copy",
    "illegal_symlink": "only a container keeps a tool from following a link out of its folder",
    "modify_file_content": INPLACE,
    "modify_directory_content": INPLACE,
    "cwl_requirements_addition": INPUT_REQUIREMENTS,
    "cwl_requirements_override_expression": INPUT_REQUIREMENTS,
    "cwl_requirements_override_static": INPUT_REQUIREMENTS,
    "iwd-subdir": "the node keeps a stored directory as a literal, which cwltool does not pass through",
}
NEEDS_UNDERSCORE = ("initworkdir_expreng_requirements",)


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
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Ended]]]:
    """The endings of all selected tests, which run in as many processes as there are cores."""
    work = tmp_path_factory.mktemp("conformance")
    items = [item for item in request.session.items if item.path == request.path]
    names = [item.callspec.params["name"] for item in items if hasattr(item, "callspec")]
    processes = min(len(os.sched_getaffinity(0)), len(names))
    with ProcessPoolExecutor(processes, get_context("spawn"), pool.start, (work,)) as executor:
        # The slowest first: they sleep.
        order = sorted(names, key=lambda name: "timelimit" not in suite()[name]["tags"])
        yield {name: executor.submit(pool.run, *_arguments(suite()[name]), work / name) for name in order}
        executor.shutdown(cancel_futures=True)
    shutil.rmtree(work, ignore_errors=True)


@pytest.mark.skipif(not suite(), reason=f"no conformance suite in {SUITE}: set DIRACX_CWL_CONFORMANCE")
@pytest.mark.parametrize("name", cases())
def test_conformance(name: str, endings: dict[str, Future[Ended]]) -> None:
    case = suite()[name]
    if name in NEEDS_UNDERSCORE and not (SUITE / "tests" / "underscore.js").exists():
        pytest.skip("the suite was not prepared: its tests/underscore.js is missing")
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


def _arguments(case: dict[str, Any]) -> tuple[str, str | None]:
    job = case.get("job")
    return _path(case["tool"]), _path(job) if job else None


def _path(uri: str) -> str:
    return unquote(uri.removeprefix("file://"))
