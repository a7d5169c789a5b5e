"""The examples give the outputs that they say, and the templates are good CWL."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from diracx_tasks.workflows import isolate
from tests.cwl import pool
from tests.cwl.bundling import bundled
from tests.examples import agrees, examples, expected, templates

FOLDERS, TEMPLATES = examples(), templates()
# Its files are the grid's: it runs on a whole system only.
LOCAL = sorted(FOLDERS.keys() - {"grid-files"})


@pytest.fixture(scope="module", autouse=True)
def isolates() -> Iterator[None]:
    """Ends the evaluating processes when the tests have ended."""
    yield
    isolate.close()


def test_there_are_all_examples_and_templates() -> None:
    assert FOLDERS.keys() == {"pi", "decay", "calibration", "fan-in", "fused", "grid-files"}
    assert TEMPLATES.keys() == {"one-tool", "scatter-gather", "conditional", "subworkflow", "fused-job"}


@pytest.mark.parametrize("name", LOCAL)
def test_an_example_gives_what_it_says(name: str, one_process: ProcessPoolExecutor, tmp_path: Path) -> None:
    folder = FOLDERS[name]
    document, job = str(folder / "workflow.cwl"), str(folder / "inputs.yaml")
    ended = one_process.submit(pool.run, document, job, tmp_path / "outputs").result(240)
    assert ended.status == "Done", ended.reason
    agrees(expected(folder), ended.outputs)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_good_cwl_with_files_of_the_grid(name: str) -> None:
    path = TEMPLATES[name]
    bundle, inputs = bundled(str(path), path.with_suffix(".inputs.yaml"))
    found = isolate.check(bundle, inputs, _no_contents)
    assert "lfn:/vo/user/a/alice/run-1.csv" in str(found["start"]["inputs"])
    assert [one for one in found["warnings"] if one["severity"] != "info"] == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_runs(name: str, one_process: ProcessPoolExecutor, tmp_path: Path) -> None:
    path = TEMPLATES[name]
    text = path.with_suffix(".inputs.yaml").read_text()
    for number in range(1, 4):
        file = tmp_path / f"run-{number}.csv"
        file.write_text("a muon\nan electron\n" * number)
        text = text.replace(f"lfn:/vo/user/a/alice/{file.name}", str(file))
    job = tmp_path / "inputs.yaml"
    job.write_text(text)
    ended = one_process.submit(pool.run, str(path), str(job), tmp_path / "outputs").result(120)
    assert ended.status == "Done", ended.reason
    made = [one for one in (tmp_path / "outputs").rglob("*") if one.is_file()]
    assert made and all(one.stat().st_size for one in made)


def _no_contents(location: str) -> str:
    raise AssertionError(f"{location} is not to be read")
