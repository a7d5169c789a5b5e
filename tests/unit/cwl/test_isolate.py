"""The isolate, a process that answers on its pipes: whatever a document does, the next one is answered."""

import os
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from diracx_tasks.core.errors import InvalidCwl, Unavailable
from diracx_tasks.cwl import lines
from diracx_tasks.cwl.confine import MAX_DATA
from diracx_tasks.cwl.desk import KEPT
from diracx_tasks.workflows import isolate as isolates
from diracx_tasks.workflows.isolate import Isolate
from tests.system import wait_for
from tests.unit.cwl.documents import (
    HEAD,
    TOOL,
    WORKFLOW,
    a_bundle,
    a_workflow,
    an_expression,
    assert_readable,
)
from tests.unit.cwl.isolated import assert_works, check, express, status

GOOD = a_bundle(TOOL)


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
    answer = check(isolate, TOOL + "hints: {dirac:Workgraph: {}}\n")
    assert answer["class"] == "UnsupportedCwl"


def test_a_document_is_sent_once_and_again_when_it_was_forgotten(isolate: Isolate) -> None:
    check(isolate)
    request: dict[str, Any] = {"op": "start", "arguments": {"inputs": {"text": "x"}}, "contents": {}}
    request |= {"hash": GOOD.hash, "seconds": 30}
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
    request = {"op": "check", "inputs": {"text": "x"}, "contents": {}, "seconds": 60}
    control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    warm = subprocess.Popen(
        [sys.executable, "-c", code], stdin=its.fileno(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    its.close()
    mine, its = socket.socketpair()
    with control, mine, mine.makefile("rwb") as channel:
        socket.send_fds(control, [b"start"], [its.fileno()])
        its.close()
        assert int(channel.readline()) > 0
        channel.write(lines.written({**request, "hash": GOOD.hash, "bundle": GOOD.to_json()}) + b"\n")
        channel.flush()
        answer = lines.read(channel.readline())
    assert answer["ok"]["start"]["inputs"] == {"text": "x"}
    assert warm.communicate(timeout=60) == (b"", b"")


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
    check(isolate)
    late = isolate.process
    assert late is not None
    os.kill(late, signal.SIGSTOP)
    # It has had no time at all: the document is not to blame.
    with pytest.raises(Unavailable, match=r"this machine is too busy: 0 s in 0\.5 s"):
        isolate.ask(GOOD, {"op": "check", "inputs": None, "contents": {}}, 0.5)
    assert_works(isolate)
    assert isolate.process != late
    wait_for(lambda: has_ended(late), 10, lambda: f"process {late} goes on")


def test_a_document_that_takes_too_long_is_given_up(isolate: Isolate) -> None:
    inputs = "".join(f"  i{number}: {{type: string, default: x}}\n" for number in range(3000))
    bundle = a_bundle(TOOL.replace("inputs:\n", f"inputs:\n{inputs}"))
    check(isolate)
    with pytest.raises(InvalidCwl, match=r"took longer than 0\.2 s"):
        isolate.ask(bundle, {"op": "check", "inputs": None, "contents": {}}, 0.2)
    assert_works(isolate)


def test_one_expression_may_take_half_of_the_time(isolate: Isolate) -> None:
    bundle = a_bundle(an_expression("${while (true) {}}"))
    request = {"op": "express", "arguments": {"path": "", "inputs": {}}, "contents": {}}
    answer = isolate.ask(bundle, request, 1)
    assert "the expression ran longer than 0.5 s" in answer["error"]
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


def test_thousands_of_inputs_are_understood(isolate: Isolate) -> None:
    many = "".join(
        f"  i{number}: {{type: 'int?', inputBinding: {{position: 1}}}}\n" for number in range(3000)
    )
    answer = check(isolate, f"{HEAD}inputs:\n{many}outputs: []\n", {"i7": 1})
    assert answer["ok"]["start"]["inputs"]["i7"] == 1


def test_numbers_stay_exact(isolate: Isolate) -> None:
    given = {"a": 10**42, "b": 0.1, "c": 2**53, "d": 1.0}
    answer = check(isolate, f"{HEAD}inputs: {{a: Any, b: Any, c: Any, d: Any}}\noutputs: {{}}\n", given)
    assert answer["ok"]["start"]["inputs"] == given


def test_nothing_of_one_request_is_left_for_the_next(isolate: Isolate) -> None:
    code = "${var old = globalThis.kept; globalThis.kept = inputs.a; return {o: old || null};}"
    assert express(isolate, code, a="secret") == {"ok": {"o": None}}
    assert express(isolate, code, a="other") == {"ok": {"o": None}}


def test_the_process_has_no_secrets(isolate: Isolate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIRACX_S3_SECRET_KEY", "secret")
    isolates.close()
    isolate.stop()
    isolate.start()
    assert "secret" not in Path(f"/proc/{isolate.process}/environ").read_text()


def test_its_strength_is_what_the_kernel_says(isolate: Isolate) -> None:
    held = isolate.held()
    lines_of_kernel = status(isolate)
    assert (lines_of_kernel["Seccomp"] == "2") is held["calls"]
    assert int(lines_of_kernel["CapEff"], 16) == 0
    assert (lines_of_kernel["Uid"].split()[0] != str(os.getuid())) is held["user"]
    for name, kind in (("network", "net"), ("processes", "pid")):
        mine, its = (os.readlink(f"/proc/{one}/ns/{kind}") for one in ("self", isolate.process))
        assert (mine != its) is held[name]
    assert (os.readlink(f"/proc/{isolate.process}/root") != "/") is held["files"]
    assert isolates.strength() == held


def test_nothing_outlives_the_process_that_asks() -> None:
    code = "from diracx_tasks.workflows import zygote; print(zygote.start()[1].process, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as asker:
        assert asker.stdout is not None
        process = int(asker.stdout.readline())
        above = psutil.Process(process).parent()
        assert above is not None
        asker.kill()
    for one in (process, above.pid):
        wait_for(partial(has_ended, one), 10, lambda: f"process {process} goes on")


def test_a_fork_shares_what_isolates_are_forked_of() -> None:
    isolates.prepare()
    reading, writing = os.pipe()
    if os.fork() == 0:
        found = Isolate()
        answer = check(found)
        os.write(writing, b"good" if "ok" in answer else b"bad")
        found.stop()
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 10) == b"good"
    os.close(reading)
    os.wait()


def has_ended(process: int) -> bool:
    """Whether a process is gone, or waits to be noticed by its parent."""
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
