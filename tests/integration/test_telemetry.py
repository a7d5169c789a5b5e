"""One trace for one workflow, and log lines in JSON that say what they belong to, from real processes."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.collector import Collector, Span
from tests.extension.installed import muon
from tests.servers import free_port
from tests.system import System, wait_for

__all__ = ["muon"]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
TOOL = """
      class: CommandLineTool
      baseCommand: echo
      inputs: {words: {type: [string, File], inputBinding: {}}}
      outputs: {said: {type: stdout}}
"""
WORKFLOW = f"""cwlVersion: v1.2
class: Workflow
inputs: {{words: string}}
outputs: {{said: {{type: File, outputSource: second/said}}}}
steps:
  first:
    run: {TOOL}
    in: {{words: words}}
    out: [said]
  second:
    run: {TOOL}
    in: {{words: first/said}}
    out: [said]
"""
BODY = {"files": {"workflow.cwl": WORKFLOW}, "main": "workflow.cwl", "inputs": {"words": "hello"}}
SUBMIT, ADVANCE, REPORT = "POST /api/workflows", "workflows.advance", "PATCH /api/jobs/status"
PERIODIC = ("jobs.check_stalled", "matching.expire_leases", "muon.watch")


@dataclass
class Traced:
    """A system whose spans a test reads, with the extension and one workflow that has ended."""

    system: System
    collector: Collector
    package: dict[str, str]
    trace: str
    parent: str
    workflow_id: int = 0

    @property
    def mine(self) -> list[Span]:
        """The spans of the workflow's trace."""
        return [span for span in list(self.collector.spans) if span.trace == self.trace]

    def has_all_parents(self) -> bool:
        """Whether every parent has arrived, and the last `advance`, which asks for nothing more."""
        known = {self.parent, *(span.number for span in self.mine)}
        ends = [span for span in self.mine if span.name == ADVANCE]
        return len(ends) >= 3 and {span.parent for span in self.mine} <= known

    def call(self, *arguments: str) -> str:
        """Have a worker run a task; answers its key."""
        return self.python("-m", "diracx_tasks.cli", "tasks", "call", *arguments, "--enqueue").strip()

    def python(self, *arguments: str) -> str:
        """The output of a program that has the extension."""
        environment = {**os.environ, **self.package, "DIRACX_DATA": str(self.system.folder)}
        return subprocess.check_output([sys.executable, *arguments], env=environment, text=True)

    def lines(self, part: str) -> list[str]:
        """What a part printed, without the prefix."""
        before = f"{part} | "
        found = [line.strip() for line in self.system.log.splitlines()]
        return [line.removeprefix(before) for line in found if line.startswith(before)]

    def records(self, part: str) -> list[dict[str, Any]]:
        """The lines of a part that are JSON."""
        return [json.loads(line) for line in self.lines(part) if line.startswith("{")]

    def says(self, part: str, words: str) -> list[dict[str, Any]]:
        """The records of a part in which words stand, once there are some."""
        wait_for(lambda: words in "\n".join(self.lines(part)), 60, lambda: self.system.log[-4000:])
        return [record for record in self.records(part) if words in record["message"]]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, muon: dict[str, str]) -> Iterator[Traced]:
    """A running system that has done a workflow of two steps for somebody with a trace."""
    with Collector() as collector:
        environment = {
            "DIRACX_OTEL_ENDPOINT": collector.url,
            "DIRACX_LOG_FORMAT": "json",
            "DIRACX_LOG_LEVEL": "INFO",
            **muon,
        }
        with System(tmp_path_factory.mktemp("traced") / "data", environment) as system:
            found = Traced(system, collector, muon, secrets.token_hex(16), secrets.token_hex(8))
            found.python("-c", "from muon.tables import create; create()")
            client = system.client.traced(f"00-{found.trace}-{found.parent}-01")
            found.workflow_id = int(client.post("/api/workflows", BODY)["workflow_id"])
            ended = system.wait(found.workflow_id)
            assert ended["status"] == "Done", ended
            wait_for(found.has_all_parents, 60, lambda: f"{found.mine}")
            yield found


def test_one_workflow_is_one_trace(traced: Traced) -> None:
    names = [span.name for span in traced.mine]
    assert names.count(SUBMIT) == 1
    assert names.count(REPORT) >= 2
    assert names.count(ADVANCE) >= 3
    for name in (SUBMIT, REPORT, ADVANCE):
        assert {span.trace for span in traced.collector.named(name)} == {traced.trace}
    assert {span.subject for span in traced.mine if span.name == ADVANCE} == {
        f"workflow-{traced.workflow_id}"
    }


def test_every_span_leads_back_to_the_submission(traced: Traced) -> None:
    spans = {span.number: span for span in traced.mine}
    ways = [(span.name, names_above(span, spans)) for span in traced.mine]
    assert ways.count((SUBMIT, [])) == 1
    for name, above in ways:
        assert name == SUBMIT or above[-1] == SUBMIT, ways
        assert name != REPORT or above[0] == ADVANCE, ways
        assert name != ADVANCE or above[0] in (SUBMIT, REPORT), ways
    assert (ADVANCE, [REPORT, ADVANCE, REPORT, ADVANCE, SUBMIT]) in ways


def names_above(span: Span, spans: dict[str, Span]) -> list[str]:
    """What a span happened in, innermost first."""
    above = spans.get(span.parent)
    return [above.name, *names_above(above, spans)] if above else []


def test_periodic_tasks_have_traces_of_their_own(traced: Traced) -> None:
    for name in PERIODIC:
        wait_for(lambda name=name: len(traced.collector.named(name)) >= 2, 60, lambda name=name: name)  # type: ignore[misc]
        spans = traced.collector.named(name)
        assert len({span.trace for span in spans}) == len(spans)
        assert traced.trace not in {span.trace for span in spans}


def test_a_line_of_a_task_says_which_task_it_belongs_to(traced: Traced) -> None:
    key = traced.call("muon.align", "run_id=7", "chamber=outer")
    (record,) = traced.says("worker", "chamber outer is off by 2 mm")
    assert record["task_id"] == key
    assert (record["task"], record["subject"]) == ("muon.align", "run-7")
    assert (record["level"], record["logger"]) == ("WARNING", "muon.tasks")
    assert len(record["trace_id"]) == 32
    assert record["by"]


def test_a_failed_try_says_which_task_it_belongs_to(traced: Traced) -> None:
    key = traced.call("muon.align", "run_id=8", "chamber=attic")
    wait_for(
        lambda: len(traced.says("worker", "there is no chamber attic")) >= 3, 60, lambda: traced.system.log
    )
    records = traced.says("worker", "there is no chamber attic")
    assert {(record["task_id"], record["task"]) for record in records} == {(key, "muon.align")}
    ours = [record for record in records if record["logger"].startswith("diracx")]
    assert [record["subject"] for record in ours] == ["run-8", "run-8"]
    assert not [record for record in records if "data" in record]


@pytest.mark.parametrize("part", ["worker", "beat", "api"])
def test_a_part_logs_in_json(part: str, traced: Traced) -> None:
    traced.says(part, {"worker": "ready", "beat": "leads", "api": "Uvicorn running on"}[part])
    for record in traced.records(part):
        assert {"time", "level", "logger", "message"} <= record.keys()
    strange = [line for line in traced.lines(part) if not line.startswith("{")]
    assert part == "worker" or strange == []


def test_a_line_of_the_api_says_who_asked_and_in_which_trace(traced: Traced) -> None:
    url, token = traced.system.client.url, traced.system.client.token
    headers = {"Authorization": f"Bearer {token}", "traceparent": f"00-{'c' * 32}-{'d' * 16}-01"}
    answer = urllib3.request("GET", f"{url}/api/workflows/4711", headers=headers, retries=False)
    assert answer.status == 404
    wait_for(
        lambda: bool([one for one in traced.collector.spans if one.trace == "c" * 32]), 60, lambda: "no span"
    )
    (span,) = [one for one in traced.collector.spans if one.trace == "c" * 32]
    assert (span.name, span.parent) == ("GET /api/workflows/{workflow_id}", "d" * 16)


def test_nobody_notices_a_collector_that_is_away(tmp_path: Path) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    with System(tmp_path / "data", {"DIRACX_OTEL_ENDPOINT": away}) as system:
        client = system.client
        ended = system.wait(int(client.post("/api/workflows", BODY)["workflow_id"]))
        assert ended["status"] == "Done", ended
        wait_for(lambda: f"{away}/v1/traces takes no spans" in system.log, 60, lambda: system.log)
    told = [line for line in system.log.splitlines() if "opentelemetry" in line]
    assert len(told) <= 12, told
    assert "did not stop" not in system.log
