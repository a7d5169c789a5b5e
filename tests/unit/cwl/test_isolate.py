"""The isolate, a process that answers on its pipes: whatever a document does, the next one is answered."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl.__main__ import KEPT
from diracx_tasks.cwl.confine import MAX_DATA
from diracx_tasks.workflows.isolate import Isolate
from tests.unit.cwl.documents import (
    HEAD,
    TOOL,
    WORKFLOW,
    a_bundle,
    a_workflow,
    an_expression,
    assert_readable,
)

GOOD = a_bundle(TOOL)


def check(isolate: Isolate, main: str = TOOL, inputs: Any = None, **files: str) -> dict[str, Any]:
    """The answer to a check."""
    request = {"op": "check", "inputs": {"text": "x"} if inputs is None else inputs, "contents": {}}
    return isolate.ask(a_bundle(main, **files), request)


def express(isolate: Isolate, code: str, **inputs: Any) -> dict[str, Any]:
    """The answer to the evaluation of an ExpressionTool."""
    declared = f"{{{', '.join(f'{name}: Any' for name in inputs)}}}"
    request = {"op": "express", "arguments": {"path": "", "inputs": inputs}, "contents": {}}
    return isolate.ask(a_bundle(an_expression(code, declared)), request)


def status(isolate: Isolate) -> dict[str, str]:
    """What the kernel says of the isolate's process."""
    assert isolate._child is not None
    lines = Path(f"/proc/{isolate._child.pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def assert_works(isolate: Isolate) -> None:
    """Fail unless the isolate evaluates."""
    assert express(isolate, "${return {o: 1 + 1};}") == {"ok": {"o": 2}}


def test_a_check_gives_the_graph_and_the_start(isolate: Isolate) -> None:
    answer = check(isolate, WORKFLOW, tool__cwl=TOOL)["ok"]
    assert [node["path"] for node in answer["graph"]["nodes"]] == ["one"]
    assert answer["start"] == {"kind": "workflow", "inputs": {"text": "x"}}
    assert answer["warnings"] == []


def test_without_inputs_the_document_is_checked(isolate: Isolate) -> None:
    answer = isolate.ask(GOOD, {"op": "check", "inputs": None, "contents": {}})
    assert [node["kind"] for node in answer["ok"]["graph"]["nodes"]] == ["tool"]


def test_inputs_may_be_yaml(isolate: Isolate) -> None:
    assert check(isolate, inputs="text: 'yes'")["ok"]["start"]["inputs"] == {"text": "yes"}
    assert "not YAML" in check(isolate, inputs="text: [")["error"]


def test_an_error_is_an_answer_with_places(isolate: Isolate) -> None:
    answer = check(isolate, TOOL + "stdot: x\n")
    assert answer["class"] == "InvalidCwl"
    assert (answer["diagnostics"][0]["file"], answer["diagnostics"][0]["line"]) == ("main.cwl", 9)
    assert_readable(answer["diagnostics"][0])


@pytest.mark.parametrize(
    "code, message", [("${return nope;}", "nope is not defined"), ("$(nope)", "nope is not defined")]
)
def test_a_faulty_expression_is_an_error_at_its_place(isolate: Isolate, code: str, message: str) -> None:
    answer = express(isolate, code)
    (found,) = answer["diagnostics"]
    assert (found["file"], found["line"], found["column"]) == ("main.cwl", 6, 13)
    assert message in found["message"] and found["advice"]


def test_an_unsupported_feature_keeps_its_class(isolate: Isolate) -> None:
    answer = check(isolate, TOOL + "requirements: {InplaceUpdateRequirement: {inplaceUpdate: true}}\n")
    assert answer["class"] == "UnsupportedCwl"


def test_a_document_is_sent_once_and_again_when_it_was_forgotten(isolate: Isolate) -> None:
    check(isolate)
    request = {"op": "start", "arguments": {"inputs": {"text": "x"}}, "contents": {}, "hash": GOOD.hash}
    assert "ok" in isolate._exchange(request, 30)
    for number in range(KEPT + 1):
        check(isolate, f"{TOOL}label: '{number}'\n")
    assert isolate._exchange(request, 30) == {"unknown": GOOD.hash}
    assert "ok" in check(isolate)


@pytest.mark.parametrize("op", ["__class__", "root", "evaluation", "_instance", "none", ""])
def test_only_operations_can_be_asked_for(isolate: Isolate, op: str) -> None:
    answer = isolate.ask(GOOD, {"op": op, "arguments": {}, "contents": {}})
    assert "there is no operation" in answer["error"]


def test_stored_files_are_asked_for_and_then_read(isolate: Isolate) -> None:
    where = "sandbox:/S3/bucket/vo/group/owner/sha256:00.file"
    step = (
        "one: {run: e.cwl, in: {a: {source: f, loadContents: true, valueFrom: $(self.contents)}}, out: [o]}"
    )
    bundle = a_bundle(
        a_workflow(step, inputs="{f: File}"),
        e__cwl=an_expression("${return {o: JSON.parse(inputs.a).x};}", "{a: string}"),
    )
    inputs = {"f": {"class": "File", "location": where, "basename": "f"}}
    request = {"op": "release", "arguments": {"path": "", "inputs": inputs, "done": {}, "started": []}}
    assert isolate.ask(bundle, {**request, "contents": {}}) == {"unread": [where]}
    answer = isolate.ask(bundle, {**request, "contents": {where: '{"x": 5}'}})
    assert answer["ok"]["ready"]["one"]["outputs"] == {"o": 5}


def test_what_cwltool_prints_is_not_an_answer() -> None:
    code = (
        "import os, sys, runpy\n"
        "from cwltool import process\n"
        "init = process.Process._init_job\n"
        "def noisy(self, *args):\n"
        "    print('noise'); os.write(1, b'{\"ok\": \"forged\"}\\n'); sys.stdout.flush()\n"
        "    return init(self, *args)\n"
        "process.Process._init_job = noisy\n"
        "runpy.run_module('diracx_tasks.cwl', run_name='__main__')\n"
    )
    request = {
        "op": "check",
        "hash": GOOD.hash,
        "bundle": GOOD.to_json(),
        "inputs": {"text": "x"},
        "contents": {},
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(request) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["ok"]["start"]["inputs"] == {"text": "x"}
    assert "noise" in done.stderr and "forged" in done.stderr


def test_a_process_out_of_memory_is_replaced(isolate: Isolate) -> None:
    isolate.stop()
    check(isolate)
    started = status(isolate)["VmHWM"]
    answer = express(isolate, "${var a = []; while (true) a.push(new Array(100000).fill(1.5));}")
    assert "more than 256 MB" in answer["error"]
    # At once: the replacement must not meet the next request half-way.
    assert_works(isolate)
    assert int(status(isolate)["VmHWM"].split()[0]) < 2 * int(started.split()[0])


@pytest.mark.parametrize(
    "code",
    [
        "${var a = []; for (var i = 0; i < 100; i++) a.push(new Uint8Array(1e9).fill(1)); return {o: 1};}",
        "${new Uint8Array(new WebAssembly.Memory({initial: 65536}).buffer).fill(1); return {o: 1};}",
        '${return {o: "x".repeat(2**29 - 30)};}',
    ],
)
def test_memory_outside_the_heap_has_a_ceiling_too(isolate: Isolate, code: str) -> None:
    try:
        assert "error" in express(isolate, code)
    except InvalidCwl as error:
        assert "broke the process" in str(error)
    assert_works(isolate)
    limits = Path(f"/proc/{status(isolate)['Pid']}/limits").read_text()
    assert f"Max data size             {MAX_DATA}" in limits


def test_a_late_answer_is_given_up(isolate: Isolate) -> None:
    isolate.start()
    bundle = a_bundle(an_expression("${while (true) {}}"))
    started = time.monotonic()
    with pytest.raises(InvalidCwl, match=r"took longer than 0\.5 s"):
        isolate.ask(bundle, {"op": "express", "arguments": {"path": "", "inputs": {}}, "contents": {}}, 0.5)
    assert time.monotonic() - started < 5
    assert_works(isolate)


@pytest.mark.parametrize(
    "code",
    [
        "${var o = 1; for (var i = 0; i < 400; i++) o = [o]; return {o: o};}",
        '${return {o: "\\ud800"};}',
        "${return {o: nope};}",
    ],
)
def test_a_bad_value_is_an_error_and_nothing_more(isolate: Isolate, code: str) -> None:
    answer = express(isolate, code)
    assert answer["class"] == "InvalidCwl" and answer["error"]
    assert_works(isolate)


def test_numbers_stay_exact(isolate: Isolate) -> None:
    given = {"a": 10**42, "b": 0.1, "c": 2**53, "d": 1.0}
    answer = check(isolate, f"{HEAD}inputs: {{a: Any, b: Any, c: Any, d: Any}}\noutputs: {{}}\n", given)
    assert answer["ok"]["start"]["inputs"] == given


def test_nothing_of_one_request_is_left_for_the_next(isolate: Isolate) -> None:
    code = "${var old = globalThis.kept; globalThis.kept = inputs.a; return {o: old || null};}"
    assert express(isolate, code, a="secret") == {"ok": {"o": None}}
    assert express(isolate, code, a="other") == {"ok": {"o": None}}


def test_the_process_has_no_network_no_secrets_and_writes_nothing(
    isolate: Isolate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRACX_S3_SECRET_KEY", "secret")
    isolate.stop()
    isolate.start()
    pid = status(isolate)["Pid"]
    assert "secret" not in Path(f"/proc/{pid}/environ").read_text()
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert "Max file size             0 " in limits
    if can_unshare():
        assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")


def can_unshare() -> bool:
    """Whether processes may leave the network here."""
    tries = "libc.unshare(1 << 30) and libc.unshare(1 << 30 | 1 << 28)"
    code = f"import ctypes; libc = ctypes.CDLL(None); raise SystemExit({tries})"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
