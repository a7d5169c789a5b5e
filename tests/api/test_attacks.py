"""One user attacks a running system from all sides, while another one's workflow advances to its end."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from diracx_tasks.auth.rights import USER
from diracx_tasks.auth.tokens import User, issue
from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import ApiError
from diracx_tasks.core.settings import settings
from tests.api.attacks import AT_THE_DOOR, LATER, PASSES, Attack
from tests.builders import environment
from tests.site import site
from tests.system import FINAL, System

AT_ONCE = 3
INNOCENT = {
    "workflow.cwl": """cwlVersion: v1.2
class: Workflow
requirements:
  InlineJavascriptRequirement: {}
  StepInputExpressionRequirement: {}
  ScatterFeatureRequirement: {}
inputs: {numbers: "int[]"}
outputs: {said: {type: "string[]", outputSource: say/said}}
steps:
  say:
    run: tool.cwl
    scatter: number
    in:
      number: numbers
      words: {valueFrom: "$([inputs.number, 2].map(function (n) { return n * 2 }).join())"}
    out: [said]
""",
    "tool.cwl": """cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
inputs: {number: int, words: {type: string, inputBinding: {}}}
stdout: said
outputs:
  said:
    type: string
    outputBinding: {glob: said, loadContents: true, outputEval: "$(self[0].contents.trim())"}
requirements: {InlineJavascriptRequirement: {}}
""",
}


@dataclass
class Siege:
    """What the attacker was answered, and how the other one's workflow ended."""

    innocent: dict[str, Any]
    answers: dict[str, Future[str]]
    failed: dict[str, str]
    asked: list[str]


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    """All attacks at once on a system of real processes, and a workflow in the middle of it."""
    folder = tmp_path_factory.mktemp("siege") / "data"
    with site("") as (url, asked), System(folder, {}, "--slots=2") as system:
        mallory = _client(folder, system, "mallory")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            is_over = threading.Event()
            loop = pool.submit(_until, is_over, lambda: _answer(mallory, AT_THE_DOOR["an endless loop"], url))
            later = {name: pool.submit(_submitted, mallory, attack, url) for name, attack in LATER.items()}
            answers = {
                name: pool.submit(_answer, mallory, attack, url) for name, attack in AT_THE_DOOR.items()
            }
            try:
                innocent = system.wait(system.submit(INNOCENT, {"numbers": [1, 2, 3]}))
            finally:
                is_over.set()
            loop.result()
        failed = {name: _end(mallory, one.result()) for name, one in later.items()}
        yield Siege(innocent, answers, failed, asked)


def test_another_user_is_served_all_the_while(siege: Siege) -> None:
    assert siege.innocent["status"] == "Done", siege.innocent
    assert siege.innocent["outputs"] == {"said": ["2,4", "4,4", "6,4"]}


@pytest.mark.parametrize("name", AT_THE_DOOR)
def test_an_attack_ends_in_clear_words(siege: Siege, name: str) -> None:
    assert _matches(siege.answers[name].result(), AT_THE_DOOR[name].ends), siege.answers[name].result()


@pytest.mark.parametrize("name", LATER)
def test_an_attack_that_a_worker_meets_fails_its_workflow(siege: Siege, name: str) -> None:
    found = siege.failed[name]
    assert _matches(found, LATER[name].ends) and not found.startswith("it went on"), found


def test_nobody_was_asked_for_anything(siege: Siege) -> None:
    assert siege.asked == []


def _matches(words: str, pattern: str) -> bool:
    return re.search(pattern, words) is not None and "root:" not in words


def _client(folder: Path, system: System, name: str) -> Client:
    """A client of another user of the same installation."""
    stated = json.loads((folder / "environment.json").read_text())
    with environment(**stated):
        token = issue(User(name, "user", settings().vo, name, frozenset({USER})), seconds=3600)
    return Client(system.client.url, token, retries=20)


def _answer(client: Client, attack: Attack, url: str) -> str:
    started = time.monotonic()
    try:
        client.post("/api/workflows/check", attack.body(url))
        found = PASSES
    except ApiError as error:
        assert error.status in (400, 413, 422), error
        found = f"{error}"
    print(f"{time.monotonic() - started:6.1f} s {attack.ends}: {found[:200]}")
    return found


def _until(is_over: threading.Event, attack: Callable[[], object]) -> None:
    while not is_over.is_set():
        attack()


def _submitted(client: Client, attack: Attack, url: str) -> int | str:
    try:
        return int(client.post("/api/workflows", attack.body(url))["workflow_id"])
    except ApiError as error:
        return str(error)


def _end(client: Client, workflow: int | str) -> str:
    """How a workflow ended; one that goes on for a minute is killed."""
    if isinstance(workflow, str):
        return workflow
    until = time.monotonic() + 60
    while (found := client.get(f"/api/workflows/{workflow}"))["status"] not in FINAL:
        if time.monotonic() > until:
            client.post(f"/api/workflows/{workflow}/kill")
            return f"it went on: {found}"
        time.sleep(0.1)
    return json.dumps(found, ensure_ascii=False) if found["status"] == "Failed" else str(found)
