"""JavaScript: what it gives, what it may not reach, and where it is stopped."""

import json
import re
import time
from contextlib import suppress
from typing import Any

import pytest
from cwl_utils.errors import JavascriptException
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.cwl.javascript import V8Engine, head

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
ESCAPE = "globalThis.constructor.constructor('return process')()"


@pytest.fixture(scope="module")
def v8() -> V8Engine:
    """An engine that nothing else uses."""
    return V8Engine()


@given(value=JSON)
def test_a_value_comes_back(v8: V8Engine, value: Any) -> None:
    text = f"JSON.parse({json.dumps(json.dumps(value))})"
    assert v8.eval(text) == value
    assert v8.eval(f"{{return {text};}}") == value


@pytest.mark.parametrize(
    "scan, value",
    [
        ("undefined", None),
        ("0/0", None),
        ("'\\ud83d\\ude00'", "😀"),
        ("new Date(0)", "1970-01-01T00:00:00.000Z"),
    ],
)
def test_what_is_not_json_becomes_what_json_has(v8: V8Engine, scan: str, value: object) -> None:
    assert v8.eval(scan) == value


@pytest.mark.parametrize(
    "name", ["process", "require", "fetch", "XMLHttpRequest", "Deno", "module", "importScripts", "setTimeout"]
)
def test_nothing_of_the_outside_is_there(v8: V8Engine, name: str) -> None:
    assert v8.eval(f"typeof {name}") == "undefined"


@pytest.mark.parametrize("code", [ESCAPE, "(() => {}).constructor('return process')()", "eval('process')"])
def test_the_way_out_of_a_node_context_leads_nowhere(v8: V8Engine, code: str) -> None:
    with pytest.raises(JavascriptException, match="process is not defined"):
        v8.eval(code)


@pytest.mark.parametrize(
    "body",
    [
        "while (true) {}",
        'return /^(a+)+$/.test("a".repeat(60) + "b");',
        "for (;;) { try { while (1) {} } catch (e) {} }",
    ],
)
def test_what_does_not_end_is_stopped(v8: V8Engine, body: str) -> None:
    started = time.monotonic()
    with pytest.raises(JavascriptException, match=re.escape("the expression ran longer than 0.3 s: ${")):
        v8.eval(f"{{{body}}}", timeout=0.3)
    assert time.monotonic() - started < 3
    assert v8.eval("1 + 1") == 2


def test_the_time_is_shared_by_all_expressions_of_a_question() -> None:
    v8 = V8Engine()
    v8.renew(0.4)
    with pytest.raises(JavascriptException, match=re.escape("ran longer than 0.4 s: ${while")):
        v8.eval("{while (true) {}}")
    with pytest.raises(JavascriptException, match=re.escape("ran longer than 0.02 s: ${for")):
        v8.eval("{for (;;) {}}")
    v8.renew(0.4)
    for _ in range(50):
        v8.eval("1 + 1")
    with pytest.raises(JavascriptException, match=re.escape("ran longer than 0.4 s")):
        v8.eval("{while (true) {}}")


def test_a_long_result_is_refused(v8: V8Engine) -> None:
    with pytest.raises(JavascriptException, match="gave 40 MB, more than 32 MB"):
        v8.eval("'x'.repeat(4e7)")


def test_variables_are_the_same_as_with_cwl_utils(v8: V8Engine) -> None:
    inputs = {"a": 2**70, "b": "\u2028'\"</é", "__proto__": 1}
    values: dict[str, Any] = {"inputs": inputs, "self": [1.5, None], "runtime": {}}
    library = ["var inputs = 'of the library';", "function one() { return 1; }"]
    text = "[inputs.a, inputs.b, Object.keys(inputs).length, self, runtime, one()]"
    found = v8.eval(text, head(library, values))
    assert found == [float(2**70), inputs["b"], 3, [1.5, None], {}, 1]


def test_what_an_expression_changes_in_its_variables_is_not_seen_by_the_next(v8: V8Engine) -> None:
    variables = head(["var count = 0;"], {"inputs": {"list": [1]}, "self": None, "runtime": {}})
    for _ in range(2):
        assert v8.eval(
            "{inputs.list.push(2); count += 1; return [inputs.list.length, count];}", variables
        ) == [2, 1]


def test_a_changed_json_does_not_reach_the_variables(v8: V8Engine) -> None:
    v8.eval("{JSON.parse = JSON.stringify = function () { return 'mine'; }; return 1;}")
    assert v8.eval("inputs.a", head([], {"inputs": {"a": 1}, "self": None, "runtime": {}})) == 1
    v8.renew()


def test_what_eats_memory_is_stopped_and_spoils_the_process() -> None:
    v8 = V8Engine()
    with pytest.raises(JavascriptException, match="more than 256 MB"):
        v8.eval("{var a = []; while (true) a.push(new Array(100000).fill(1.5));}")
    assert v8.is_poisoned


@pytest.mark.parametrize(
    "scan, message",
    [
        ('{throw new Error("boo");}', "^Error: boo in \\${throw"),
        ("nope.x", "^ReferenceError: nope is not defined in \\$\\(nope.x\\)"),
        ("{return {;}", "^SyntaxError: "),
        ("{function f() {return f() + 1;} return f();}", "^RangeError: Maximum call stack"),
        ("{return new Uint8Array(1e12);}", "^RangeError: "),
        ("{var o = 1; for (var i = 0; i < 9000; i++) o = [o]; return o;}", "nested too deeply|call stack"),
    ],
)
def test_an_error_is_one_short_line(v8: V8Engine, scan: str, message: str) -> None:
    with pytest.raises(JavascriptException, match=message) as caught:
        v8.eval(scan)
    assert "\n" not in str(caught.value) and "anonymous" not in str(caught.value)


@pytest.mark.parametrize("later", ["Promise.resolve()", "Atomics.waitAsync(shared, 0, 0, 1).value"])
def test_what_runs_later_cannot_hold_up_the_next_one(v8: V8Engine, later: str) -> None:
    shared = "var shared = new Int32Array(new SharedArrayBuffer(8));"
    spin = f"{{function spin() {{while (true) {{}}}} {shared} {later}.then(spin); return 1;}}"
    with suppress(JavascriptException):
        v8.eval(spin, timeout=0.3)
    time.sleep(0.05)
    v8.renew()
    assert v8.eval("1 + 1", timeout=1) == 2


def test_a_library_may_be_declared_again_and_find_the_global_object(v8: V8Engine) -> None:
    library = "const one = 1; var root = this; root.two = 2;"
    for _ in range(2):
        assert v8.eval("one + two", library) == 3


def test_expressions_are_strict(v8: V8Engine) -> None:
    with pytest.raises(JavascriptException, match="undeclared is not defined"):
        v8.eval("{undeclared = 1; return 1;}")


def test_after_a_renewal_nothing_is_left(v8: V8Engine) -> None:
    v8.eval("{Array.prototype.map = null; globalThis.secret = 1; return 1;}")
    assert v8.eval("typeof secret") == "number"
    v8.renew()
    assert v8.eval("[1].map(x => x + 1).concat(typeof secret)") == [2, "undefined"]
