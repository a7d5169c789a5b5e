"""Documents that are wrong or hostile: 422 with places, within seconds, while others are served."""

import threading
from typing import Any

import pytest

from tests.api.caller import Api
from tests.builders import TOOL, a_user

HEAD = "cwlVersion: v1.2\nclass: Workflow\ninputs: {words: string}\noutputs: []\n"
STEP = "steps:\n  say:\n    run: tool.cwl\n    in: {words: words}\n    out: []\n"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
LOOP = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: "true"
requirements:
  InlineJavascriptRequirement: {}
  ResourceRequirement: {coresMin: "${SCRIPT}"}
inputs: {words: string}
outputs: []
"""
NEVER = LOOP.replace("SCRIPT", "while (true) {}")
GREEDY = LOOP.replace("SCRIPT", "var a = []; while (true) { a.push(new Array(1e6).fill(1)); }")
PRYING = LOOP.replace("SCRIPT", "return process.env.HOME.length")
WRONG = {
    "no YAML": "cwlVersion: v1.2\nclass: [",
    "no CWL": "hello: world\n",
    "a text": "hello",
    "nothing": "",
    "a tab": "cwlVersion: v1.2\n\tclass: Workflow\n",
    "an unknown class": TOOL.replace("CommandLineTool", "MagicTool"),
    "an unknown version": TOOL.replace("v1.2", "v9.9"),
    "no version": TOOL.replace("cwlVersion: v1.2\n", ""),
    "a misspelt field": TOOL.replace("baseCommand", "baseComand"),
    "a link to nothing": HEAD + STEP.replace("{words: words}", "{words: wrods}"),
    "a document that was not sent": HEAD + STEP.replace("tool.cwl", "other.cwl"),
    "a document from the network": HEAD + STEP.replace("tool.cwl", "http://127.0.0.1:1/tool.cwl"),
    "a document of the server": HEAD + STEP.replace("tool.cwl", "file:///etc/passwd"),
    "an import from the network": TOOL.replace("outputs: []", "outputs: {$import: http://127.0.0.1:1/x}"),
    "an include of the server's": TOOL + "doc: {$include: file:///etc/hostname}\n",
    "an alias bomb": BOMB + TOOL,
    "a bomb of nesting": "a: " + "[" * 5000 + "]" * 5000 + "\n" + TOOL,
    "two million optional inputs": TOOL.replace(
        "outputs", "".join(f"  i{n}: int?\n" for n in range(300_000)) + "outputs"
    ),
    "an unsafe tag": "!!python/object/apply:os.system ['true']\n",
    "a cycle": HEAD + STEP.replace("tool.cwl", "workflow.cwl"),
}


def submit(api: Api, text: str, inputs: Any = None, path: str = "/api/workflows") -> Any:
    given = {"words": "x"} if inputs is None else inputs
    body = {"files": {"workflow.cwl": text, "tool.cwl": TOOL}, "main": "workflow.cwl", "inputs": given}
    return api.post(path, body)


def complaint(answer: Any) -> dict[str, Any]:
    """The first diagnostic of a 422."""
    assert answer.status_code == 422, answer.text
    detail = answer.json()["detail"]
    assert detail["kind"] in ("invalid", "unsupported") and detail["message"]
    first: dict[str, Any] = detail["diagnostics"][0]
    assert set(first) >= {"severity", "file", "line", "column", "message", "advice"}
    assert first["message"] and first["advice"]
    return first


@pytest.mark.timeout(30)
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_document_is_422_with_advice(api: Api, what: str) -> None:
    complaint(submit(api, WRONG[what]))


def test_a_complaint_names_file_line_and_column(api: Api) -> None:
    first = complaint(submit(api, WRONG["a link to nothing"]))
    assert (first["file"], first["line"]) == ("workflow.cwl", 8)
    first = complaint(submit(api, WRONG["no YAML"]))
    assert (first["file"], first["line"], first["column"]) == ("workflow.cwl", 3, 1) or first["line"] == 2
    first = complaint(submit(api, WRONG["a misspelt field"]))
    assert (first["file"], first["line"], first["column"]) == ("workflow.cwl", 3, 1)


def test_what_is_unsupported_says_so(api: Api) -> None:
    answer = submit(api, TOOL + "hints: {dirac:Workgraph: {}}\n")
    complaint(answer)
    assert answer.json()["detail"]["kind"] == "unsupported"


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"words": 7},
        {"words": None},
        "words: [",
        "- a list",
        "!!python/object/apply:os.system ['true']",
        BOMB,
        {"words": {"class": "File", "location": "http://127.0.0.1:1/x"}},
    ],
    ids=str,
)
def test_wrong_inputs_are_422(api: Api, inputs: Any) -> None:
    answer = submit(api, TOOL, inputs)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]["kind"] == "invalid"


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:1/x", "file:///etc/passwd", "/etc/passwd", "../../etc/passwd", "ftp://x/y"]
)
def test_a_file_that_the_server_would_have_to_fetch_is_422(api: Api, location: str) -> None:
    text = TOOL.replace("type: string", "type: File")
    answer = submit(api, text, {"words": {"class": "File", "location": location}})
    assert answer.status_code == 422, answer.text
    default = f"{{type: File, default: {{class: File, location: '{location}'}}}}"
    answer = submit(api, text.replace("{type: File, inputBinding: {}}", default), {})
    assert answer.status_code == 422, answer.text
    assert "root:" not in answer.text


@pytest.mark.timeout(60)
def test_an_endless_expression_is_refused_while_others_are_served(api: Api) -> None:
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(submit(api, NEVER)))
    thread.start()
    served = 0
    while not answers:
        assert api.get("/api/workflows").status_code == 200
        assert submit(api, TOOL, path="/api/workflows/check").status_code == 200
        served += 1
    thread.join()
    assert served > 1
    complaint(answers[0])
    assert "the expression ran longer than" in answers[0].text


@pytest.mark.timeout(60)
def test_a_greedy_expression_is_refused_and_the_next_document_is_checked(api: Api) -> None:
    complaint(submit(api, GREEDY))
    assert submit(api, TOOL, path="/api/workflows/check").status_code == 200


def test_an_expression_sees_nothing_of_the_server(api: Api) -> None:
    answer = submit(api, PRYING)
    complaint(answer)
    assert "process is not defined" in answer.text


def test_a_file_of_another_user_is_403(api: Api) -> None:
    location = "sandbox:/S3/local/lhcb/user/bob/sha256:" + "0" * 64 + ".file"
    text = TOOL.replace("type: string", "type: File")
    file = {"class": "File", "location": location, "basename": "x"}
    folder = {"class": "Directory", "basename": "d", "listing": [file]}
    assert submit(api, text, {"words": file}).status_code == 403
    assert submit(api, text.replace("type: File", "type: Directory"), {"words": folder}).status_code == 403
    assert (
        api.submit(text, {"words": {"class": "File", "location": location}}, by=a_user("bob")).status_code
        == 201
    )


def test_a_secondary_file_of_another_user_is_403(api: Api) -> None:
    mine, his = (f"sandbox:/S3/local/lhcb/user/{who}/sha256:{'0' * 64}.file" for who in ("alice", "bob"))
    value = {
        "class": "File",
        "location": mine,
        "secondaryFiles": [{"class": "File", "location": his, "basename": "x"}],
    }
    assert submit(api, TOOL.replace("type: string", "type: File"), {"words": value}).status_code == 403
