"""Loops, as in CWL v1.3 and as cwltool extends v1.2: the documents that come with it, and its outputs."""

from concurrent.futures import ProcessPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest

from tests.cwl import pool
from tests.cwl.conftest import Run
from tests.unit.cwl.documents import a_workflow, an_expression

SHIPPED = Path(str(files("cwltool") / "tests"))
ONE, TWO, WIDE = "single-var-loop-job.yml", "two-vars-loop-job.yml", "loop-inside-scatter-job.yml"
LOOPS = {
    "single-var-loop": ONE,
    "single-var-loop-no-iteration": ONE,
    "two-vars-loop": TWO,
    "all-output-loop": ONE,
    "all-output-loop-no-iteration": ONE,
    "value-from-loop": TWO,
    "loop-inside-scatter": WIDE,
    "scatter-inside-loop": WIDE,
    "opt-var-loop": ONE,
    "loop-inside-loop": TWO,
    "loop-inside-loop-all": TWO,
    "multi-source-loop": ONE,
    "default-value-loop": ONE,
}
WRONG = {
    "invalid-loop-scatter": ONE,
    "invalid-no-loopWhen": TWO,
    "invalid-loop-when-exception": TWO,
    "invalid-value-from-loop-no-requirement": TWO,
    "invalid-multi-source-loop-no-requirement": ONE,
}
EXTENDED = ("single-var-loop", "all-output-loop", "value-from-loop")
EXTENDED_WRONG = ("invalid-loop-hint", "invalid-loop-command-line-tool", "invalid-loop-when")
CASES = [
    *(("loop", name, job) for name, job in {**LOOPS, **WRONG}.items()),
    *(("loop-ext", name, LOOPS[name]) for name in EXTENDED),
    *(("loop-ext", name, ONE) for name in EXTENDED_WRONG),
]


@pytest.mark.parametrize(("folder", "name", "job"), CASES, ids=[f"{one[0]}-{one[1]}" for one in CASES])
def test_a_loop_ends_as_in_cwltool(
    folder: str, name: str, job: str, one_process: ProcessPoolExecutor, tmp_path: Path
) -> None:
    document, inputs = str(SHIPPED / folder / f"{name}.cwl"), str(SHIPPED / folder / job)
    theirs = one_process.submit(pool.cwltool, document, inputs, tmp_path / "theirs").result(60)
    ours = one_process.submit(pool.run, document, inputs, tmp_path / "ours").result(60)
    assert (ours.status == "Done", ours.outputs) == (theirs is not None, theirs), ours.reason
    assert (theirs is None) == name.startswith("invalid")


def test_a_loop_inside_of_one_job_runs_there(run: Run) -> None:
    more = "$namespaces: {dirac: 'https://diracgrid.org/cwl#'}\nhints: {dirac:Job: {}}\n"
    main = a_workflow(
        "one: {run: e.cwl, in: {a: n}, out: [o], when: $(inputs.a < 5), loop: {a: o}, "
        "outputMethod: all_iterations}",
        inputs="{n: int}",
        outputs="{o: {type: Any, outputSource: one/o}}",
        more=more,
    ).replace("cwlVersion: v1.2", "cwlVersion: v1.3.0-dev1")
    ended = run({"n": 2}, main__cwl=main, e__cwl=an_expression("${return {o: inputs.a + 1};}", "{a: int}"))
    assert ended.outputs == {"o": [3, 4, 5]}, ended.reason
