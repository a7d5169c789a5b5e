"""Workflows that mean harm: what is sent, and the words in which it ends."""

import json
from dataclasses import dataclass, field
from typing import Any

HEAD = "cwlVersion: v1.2\nclass: {}\ninputs: {{words: string}}\noutputs: []\n"
TOOL = HEAD.format("CommandLineTool") + "baseCommand: echo\n"
FLOW = HEAD.format("Workflow")
SCRIPTED = TOOL + "requirements: {InlineJavascriptRequirement: {}, ResourceRequirement: {coresMin: %s}}\n"
STEP = "steps:\n  say:\n    run: '%s'\n    in: {words: words}\n    out: []\n"
ESCAPE = "return globalThis.constructor.constructor('return process')().mainModule.require('child_process')"
LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + "]><x>&j;</x>"
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY e SYSTEM "{url}"><!ENTITY f SYSTEM "file:///etc/passwd">]><x>&e;&f;</x>'
ABOVE = """outputs: []
requirements:
  InitialWorkDirRequirement: {listing: [{entryname: ../../x, entry: ''}]}
"""
NOT_SENT = "is not among the files sent with the workflow"
PASSES = "checked"


@dataclass
class Attack:
    """A document, its files and inputs, and the words in which it ends; PASSES if it does no harm."""

    document: str
    ends: str
    files: dict[str, str] = field(default_factory=dict)
    inputs: Any = field(default_factory=lambda: {"words": "x"})

    def body(self, url: str) -> dict[str, Any]:
        """What is posted; `{url}` in the texts becomes the address of a server that nobody may ask."""
        files = {"workflow.cwl": self.document, **self.files}
        text = json.dumps({"files": files, "main": "workflow.cwl", "inputs": self.inputs})
        found: dict[str, Any] = json.loads(text.replace("{url}", url))
        return found


def scripted(code: str, ends: str) -> Attack:
    """A tool whose resources are an expression: it is evaluated at the submission."""
    return Attack(SCRIPTED % f'"${{{code}}}"', ends)


def evaluated(code: str, ends: str) -> Attack:
    """A workflow with a step whose input is an expression: a worker evaluates it."""
    needs = "requirements: {InlineJavascriptRequirement: {}, StepInputExpressionRequirement: {}}\n"
    step = (
        f'steps:\n  say:\n    run: tool.cwl\n    in: {{words: {{valueFrom: "${{{code}}}"}}}}\n    out: []\n'
    )
    return Attack(FLOW + needs + step, ends, {"tool.cwl": TOOL})


def made(more: str, ends: str, **inputs: Any) -> Attack:
    """A tool that does its harm where it runs."""
    return Attack(
        TOOL.replace("echo", "'true'").replace("outputs: []\n", "") + more,
        ends,
        inputs={"words": "x", **inputs},
    )


def _referring(address: str) -> dict[str, Attack]:
    library = (
        f"requirements: {{InlineJavascriptRequirement: {{expressionLib: [{{$include: '{address}'}}]}}}}\n"
    )
    a_file = f"{{class: File, location: '{address}'}}"
    default = TOOL.replace("string", f"{{type: File, default: {a_file}}}")
    return {
        f"run {address}": Attack(FLOW + STEP % address, NOT_SENT),
        f"$import {address}": Attack(
            TOOL.replace("outputs: []", f"outputs: {{$import: '{address}'}}"), NOT_SENT
        ),
        f"$include {address}": Attack(TOOL + library, NOT_SENT),
        f"$schemas {address}": Attack(TOOL + f"$schemas: ['{address}']\n", PASSES),
        f"$namespaces {address}": Attack(TOOL + f"$namespaces: {{x: '{address}'}}\n", PASSES),
        f"default {address}": Attack(default, NOT_SENT, inputs={}),
        f"input {address}": Attack(
            TOOL.replace("string", "{type: File, loadContents: true}"),
            "is not allowed|is not among the files sent",
            inputs={"words": {"class": "File", "location": address}},
        ),
    }


def _bomb() -> str:
    lines = "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    return f"a: &a [{', '.join('x' * 10)}]\n{lines}"


def _crossed() -> Attack:
    names = ("p", "q", "r")
    needs = "requirements: {ScatterFeatureRequirement: {}}\n"
    inputs = "inputs:\n" + "".join(f"  {name}: int[]\n" for name in names)
    tool = TOOL.replace("words: string", ", ".join(f"{name}: int" for name in names))
    step = (
        "steps:\n  say:\n    run: tool.cwl\n    scatter: [p, q, r]\n    scatterMethod: flat_crossproduct\n"
        "    in: {p: p, q: q, r: r}\n    out: []\n"
    )
    flow = FLOW.replace("inputs: {words: string}\n", inputs) + needs + step
    ten_thousand = list(range(10_000))
    return Attack(flow, "1000000000000", {"tool.cwl": tool}, dict.fromkeys(names, ten_thousand))


AT_THE_DOOR: dict[str, Attack] = {
    "a way out by constructors": scripted(ESCAPE, "process is not defined"),
    "modules": scripted("return require('fs')", "require is not defined"),
    "an endless loop": scripted("while (true) {}", "the expression ran longer than"),
    "a regular expression": scripted("return /^(a+)+$/.test('a'.repeat(60) + 'b')", "ran longer than"),
    "arrays without end": scripted(
        "var a = []; while (1) a.push(new Array(1e6).fill(1.5))", "more than 256 MB"
    ),
    "30 million strings": scripted(
        "var a = []; for (var i = 0; i < 3e7; i++) a.push('s' + i)", "256 MB|ran longer"
    ),
    "text without end": scripted("var s = 'x'; while (true) s += s", "Invalid string length"),
    "memory beside the heap": scripted(
        "var a = []; for (;;) a.push(new Uint8Array(1e9))", "Array buffer allocation failed"
    ),
    "a result of 100 MB": scripted("return 'x'.repeat(1e8)", "gave 100 MB, more than 32 MB"),
    "endless calls": scripted("function f() { return f() + 1 } return f()", "Maximum call stack"),
    "a bomb of aliases": Attack(_bomb() + TOOL, "more than 50000 nodes"),
    "nesting": Attack("a: " + "[" * 3000 + "]" * 3000 + "\n" + TOOL, "nested deeper than 64 levels"),
    "nested hints": Attack(TOOL + "hints: " + "{a: " * 3000 + "1" + "}" * 3000 + "\n", "nested deeper"),
    "3000 inputs": Attack(
        TOOL.replace("words: string", "words: string, " + ", ".join(f"i{n}: 'int?'" for n in range(3000))),
        # Where nothing else runs it takes two seconds.
        f"{PASSES}|took longer than 10 s",
    ),
    "300000 inputs": Attack(
        TOOL.replace("words: string", ", ".join(f"i{n}: int?" for n in range(300_000))),
        "more than 50000 nodes|may have 4194304 bytes",
    ),
    "a name above the bundle": Attack(TOOL, "stay inside the bundle", {"../x.cwl": "x"}),
    "an absolute name": Attack(TOOL, "stay inside the bundle", {"/etc/x.cwl": "x"}),
    "a long integer": Attack(
        TOOL.replace("string", "Any"), "an integer of [0-9]+ bits is not allowed", inputs={"words": 1 << 9000}
    ),
    "a long float": Attack(
        TOOL.replace("string", "{type: double, default: 1e999999}"), "not a number", inputs={}
    ),
    "laughs of XML": Attack(TOOL + "$schemas: [x.owl]\n", PASSES, {"x.owl": LAUGHS}),
    "entities of XML": Attack(TOOL + "$schemas: [x.owl]\n", PASSES, {"x.owl": OUTSIDE}),
    "nesting of Turtle": Attack(
        TOOL + "$schemas: [x.ttl]\n", "nested too deeply", {"x.ttl": "<a> <b> " + "(" * 50_000}
    ),
    "a workflow in itself": Attack(FLOW + STEP % "workflow.cwl", "cannot contain itself"),
    **_referring("{url}"),
    **_referring("file:///etc/passwd"),
    **_referring("/etc/passwd"),
}
# What is found out when a worker or a pilot gets to it: the workflow fails.
LATER: dict[str, Attack] = {
    "an endless loop in a step": evaluated("while (true) {}", "ran longer than 10 s"),
    "half a character in a step": evaluated("return '\\\\ud800'", "half a character|surrogates not allowed"),
    "a file in a step": evaluated("return {'class': 'File', 'location': 'file:///etc/passwd'}", "."),
    "changed built-ins": evaluated(
        "Array.prototype.map = Object.prototype.toJSON = function () { return 'mallory' }; return nope",
        "nope",
    ),
    "a scatter of 10^12": _crossed(),
    "a name above the folder": made(ABOVE, "\\.\\./\\.\\./x"),
    "an output above the folder": made(
        "outputs: {o: {type: File, outputBinding: {glob: '../../../../../../../../etc/passwd'}}}\n", "."
    ),
    "an absolute output": made(
        "outputs: {o: {type: File, outputBinding: {glob: /etc/passwd}}}\n", "glob|/etc"
    ),
}
