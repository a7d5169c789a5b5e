"""What people do with our pages, from the first click to the last, on a whole running system."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.system import System
from tests.ui.test_submit_page import a_file, drop, press

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]
LONG = 120_000
FLOW = """cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs:
  seconds: float[]
  flag: string
outputs:
  text: {type: File, outputSource: gather/text}
steps:
  wait:
    run: wait.cwl
    scatter: seconds
    in: {seconds: secondz}
    out: [said]
  gather:
    run: gather.cwl
    in: {said: wait/said, flag: flag}
    out: [text]
"""
WAIT = """cwlVersion: v1.2
class: CommandLineTool
requirements: {InlineJavascriptRequirement: {}}
baseCommand: [sh, -c, 'echo "begun $0"; sleep $0; echo "slept $0"']
inputs:
  seconds: {type: float, inputBinding: {}}
outputs:
  said: {type: string, outputBinding: {outputEval: '$("slept " + inputs.seconds)'}}
"""
GATHER = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, 'echo "$1"; ls "$0" > /dev/null && date > text.txt && echo all of them >> text.txt']
inputs:
  flag: {type: string, inputBinding: {position: 1}}
  said: {type: 'string[]', inputBinding: {position: 2}}
outputs:
  text: {type: File, outputBinding: {glob: text.txt}}
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Everything on this machine, as `diracx up` runs it."""
    with System(tmp_path_factory.mktemp("journeys") / "data", None, "--slots=3") as found:
        yield found


@pytest.fixture
def page(system: System, browser: Browser) -> Iterator[Page]:
    """A window of somebody who has logged in; no page may have complained."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(30_000)
    found, complaints = context.new_page(), list[str]()
    found.on("console", lambda one: complaints.append(one.text) if one.type in ("error", "warning") else None)
    found.on("pageerror", lambda error: complaints.append(str(error)))
    found.goto(f"{system.client.url}/ui")
    found.get_by_role("link", name=re.compile("^local ")).first.click()
    found.get_by_label("Password").fill((system.folder / "keys" / "login").read_text().strip())
    found.get_by_role("button", name="Log in").click()
    found.wait_for_url("**/ui/workflows")
    yield found
    context.close()
    assert not complaints, complaints


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=Path(folder) / f"journey-{name}.png", full_page=True)


def run(page: Page, inputs: str, flow: str = FLOW) -> None:
    """Submit the workflow, first with a mistake when it has one."""
    page.get_by_role("link", name="Submit", exact=True).click()
    drop(page, *(a_file(*one) for one in (("flow.cwl", flow), ("wait.cwl", WAIT), ("gather.cwl", GATHER))))
    page.get_by_label("YAML or JSON").fill(inputs)
    if "secondz" in flow:
        expect(page.locator("#wrong")).to_contain_text("flow.cwl:13")
        text = page.get_by_label("CWL of flow.cwl")
        text.fill(text.input_value().replace("secondz", "seconds"))
    press(page, "Check")
    picture(page, "ready")
    press(page, "Run 4 jobs")


def test_wrong_then_right_then_watched_to_its_end_and_fetched(page: Page) -> None:
    run(page, "seconds: [0.5, 1, 8]\nflag: /\n")
    expect(page).to_have_title(re.compile("^Running [0-9]+/[34]"), timeout=LONG)
    picture(page, "running")
    expect(page).to_have_title(re.compile("^Done"), timeout=LONG)
    picture(page, "done")
    page.get_by_role("link", name="Outputs").first.click()
    page.get_by_text("all of them").wait_for()
    with page.expect_download() as fetched:
        page.get_by_role("link", name=re.compile("[Dd]ownload")).first.click()
    assert b"all of them" in Path(fetched.value.path()).read_bytes()


def test_what_failed_is_run_again_and_what_went_well_is_not(page: Page, system: System) -> None:
    flag = system.folder / "flag"
    run(page, f"seconds: [0.1, 0.2, 0.3]\nflag: {flag}\n", FLOW.replace("secondz", "seconds"))
    expect(page).to_have_title(re.compile("^Failed"), timeout=LONG)
    expect(page.locator("main")).to_contain_text("gather")
    picture(page, "failed")
    number = int(page.url.rpartition("/")[2])
    before = {job["JobID"] for job in system.jobs(number) if job["Status"] == "Done"}
    assert len(before) == 3
    flag.touch()
    page.get_by_text("Rerun").first.click()
    page.get_by_role("button", name=re.compile("^Rerun")).click()
    expect(page).to_have_title(re.compile("^Done"), timeout=LONG)
    done = {job["JobID"] for job in system.jobs(number) if job["Status"] == "Done"}
    assert before < done and len(done) == 4


def test_a_workflow_is_killed_with_what_runs_of_it(page: Page, system: System) -> None:
    run(page, "seconds: [100, 101, 102]\nflag: /\n", FLOW.replace("secondz", "seconds"))
    expect(page).to_have_title(re.compile("^Running"), timeout=LONG)
    expect(page.locator("main")).to_contain_text(re.compile("Running"))
    page.get_by_text(re.compile("^Kill")).first.click()
    picture(page, "kill")
    page.get_by_role("button", name=re.compile("^Kill")).click()
    expect(page).to_have_title(re.compile("^Killed"), timeout=LONG)
    number = int(page.url.rpartition("/")[2])
    assert {job["Status"] for job in system.jobs(number)} == {"Killed"}
