"""Submitting a workflow in a browser: wrong first, then right."""

from collections.abc import Callable

from playwright.sync_api import Page

from diracx_tasks.auth.visits import find
from diracx_tasks.core.database import reading, session
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.workflows import search, submit
from tests.builders import a_user, a_workflow
from tests.ui.visitor import Pages, Visitor

Visit = Callable[..., Visitor]
WRONG = """cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs:
  words: string[]
outputs: []
steps:
  say:
    run: tools/echo.cwl
    scatter: word
    in:
      word: wrods
    out: []
"""
TOOL = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
requirements: {ResourceRequirement: {coresMin: 2}}
inputs:
  word: {type: string, inputBinding: {}}
outputs: []
"""
CAT = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: cat
inputs:
  data: {type: File, inputBinding: {}}
outputs: []
"""


PACKED = """cwlVersion: v1.2
$graph:
- id: other
  class: CommandLineTool
  baseCommand: "true"
  inputs: []
  outputs: []
- id: wf
  class: Workflow
  inputs:
    ref: {type: File, default: {class: File, location: data/ref.gz}}
    words: string
  outputs: []
  steps:
    say: {run: say.cwl, in: {ref: ref, words: words}, out: []}
"""
SAY = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
inputs: {ref: File, words: {type: string, inputBinding: {}}}
outputs: []
"""


def a_file(name: str, text: str | bytes) -> dict[str, object]:
    content = text if isinstance(text, bytes) else text.encode()
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


def press(page: Page, name: str) -> None:
    with page.expect_navigation():
        page.get_by_role("button", name=name).click()


def drop(page: Page, *files: dict[str, object]) -> None:
    """What is dropped is sorted in and checked at once."""
    with page.expect_navigation():
        page.get_by_label("Drop CWL").set_input_files(list(files))  # type: ignore[arg-type]


def test_a_wrong_document_is_told_at_its_line_corrected_looked_at_and_run(visit: Visit) -> None:
    alice = visit()
    page = alice.goto("/ui/submit")
    alice.is_accessible()
    # A bundle's documents refer to each other by their names: folders cannot be dropped.
    flat = WRONG.replace("tools/echo.cwl", "echo.cwl")
    drop(page, a_file("flow.cwl", flat), a_file("echo.cwl", TOOL), a_file("in.yaml", "words: [a, b, c]\n"))
    assert page.title().startswith("1 error · Submit")
    wrong = page.locator("#wrong")
    assert "flow.cwl:12" in wrong.inner_text() and "wrods" in wrong.locator("pre").inner_text()
    alice.picture("submit-wrong")
    alice.is_accessible()
    wrong.get_by_role("link").click()
    chosen = "(one => one.value.slice(one.selectionStart, one.selectionEnd))(document.activeElement)"
    assert page.evaluate(chosen) == "      word: wrods"
    text = page.get_by_label("CWL of flow.cwl")
    text.fill(text.input_value().replace("wrods", "words"))
    press(page, "Check")
    assert page.title().startswith("Ready · Submit")
    assert "3 jobs, 6 cores" in page.inner_text("main")
    assert page.locator("svg").get_by_text("say", exact=True).count()
    alice.picture("submit-ready")
    alice.is_accessible()
    page.set_viewport_size({"width": 390, "height": 844})
    alice.fits()
    press(page, "Run 3 jobs")
    assert page.url.endswith("/ui/workflows/1")
    with reading() as db:
        found = search.find(db, 1, by=a_user())
        assert (found.name, found.owner) == ("flow.cwl", "alice")


def test_an_input_file_is_stored_and_given_to_the_workflow(pages: Pages, visit: Visit) -> None:
    page = visit().goto("/ui/submit")
    inputs = "data: {class: File, path: ../data/events.root}\n"
    drop(page, a_file("cat.cwl", CAT), a_file("in.yml", inputs), a_file("events.root", b"\0\1\2"))
    assert "events.root is stored" in page.inner_text("main")
    assert page.get_by_label("YAML or JSON").input_value() == inputs
    press(page, "Run 1 job")
    detail = pages.ask("GET", "/api/workflows/1/crate?format=json", None, by=a_user())
    assert "events.root" in str(detail)


def test_inputs_that_lack_something_are_told_and_a_template_helps(visit: Visit) -> None:
    page = visit(java_script_enabled=False).goto("/ui/submit")
    page.get_by_label("CWL of workflow.cwl").fill(TOOL)
    page.get_by_label("YAML or JSON").fill("word: [1]\n")
    press(page, "Check")
    assert "inputs:1:" in page.locator("#wrong").inner_text()
    page.get_by_label("YAML or JSON").fill("")
    press(page, "Check")
    assert "word" in page.locator("#wrong").inner_text()
    press(page, "Write inputs to fill in")
    assert page.get_by_label("YAML or JSON").input_value() == "# string\nword: text\n"


def test_a_workflow_of_before_is_submitted_again_with_other_inputs(pages: Pages, visit: Visit) -> None:
    with session() as db:
        number = a_workflow(db, words="once").workflow_id
    page = visit().goto(f"/ui/submit/again/{number}")
    page.get_by_label("YAML or JSON").fill("words: twice\n")
    press(page, "Check")
    press(page, "Run 1 job")
    assert page.url.endswith(f"/ui/workflows/{number + 1}")
    assert pages.send(f"/ui/submit/again/{number}", pages.ticket("bob", vo="belle"), method="GET")[0] == 404


def a_packed_workflow() -> tuple[int, dict[str, bytes]]:
    """The number and the files of a workflow that starts amid a document, and brings more than texts."""
    more = {"data/ref.gz": b"\x1f\x8b\xff\0", "empty": b"", "dos.txt": b"1\r\n2\r\n", "blank.txt": b" \n"}
    documents = {"main.cwl": PACKED.encode(), "say.cwl": SAY.encode(), "notes.txt": b"see main.cwl\n"}
    bundle, given = Bundle.of(documents | more, "main.cwl#wf"), {"words": "once"}
    with session() as db:
        checked = submit.check(bundle, given, by=a_user())
        number = submit.submit(db, submit.Request(bundle, given), checked, by=a_user()).workflow_id
    return number, dict(bundle.files)


def test_files_that_are_no_texts_go_along_untouched_and_the_start_is_where_it_was(
    pages: Pages, visit: Visit
) -> None:
    number, files = a_packed_workflow()
    alice = visit()
    page = alice.goto(f"/ui/submit/again/{number}")
    start = page.get_by_label("Start from")
    assert (start.input_value(), start.locator("option").all_inner_texts()) == (
        "main.cwl#wf",
        ["main.cwl#wf", "say.cwl"],
    )
    carried = page.get_by_text(f"As they are in workflow {number}:")
    assert all(name in carried.inner_text() for name in ("data/ref.gz", "empty", "dos.txt", "blank.txt"))
    assert page.locator("textarea").count() == 4
    alice.is_accessible()
    page.get_by_label("YAML or JSON").fill("words: twice\n")
    press(page, "Check")
    assert carried.is_visible()
    press(page, "Run 1 job")
    with reading() as db:
        found = search.find(db, number + 1, by=a_user())
        stored = Bundle.from_json(search.bundle_of(db, found.bundle, "lhcb"))
    assert (stored.entrypoint, stored.files) == ("main.cwl#wf", files)


def test_files_of_a_workflow_of_another_vo_do_not_go_along(pages: Pages) -> None:
    number, _ = a_packed_workflow()
    ticket = pages.ticket("bob", vo="belle")
    with session() as db:
        form = {"form_key": find(db, ticket).form_key, "again": str(number), "action": "run"}
    document = {"document_name": "main.cwl", "document_text": PACKED, "main": "main.cwl#wf"}
    status, words = pages.send("/ui/submit", ticket, **form, **document, inputs="words: x")
    assert status == 200 and f"there is no workflow {number} in belle" in words
    assert "ref.gz:" not in words and "As they are" not in words


def test_hostile_texts_are_shown_as_texts(visit: Visit) -> None:
    evil = "</textarea><script>alert(1)</script>"
    page = visit().goto("/ui/submit")
    drop(page, a_file("x.cwl", f"cwlVersion: v1.2\nclass: Workflow\n{evil}: 1\n"))
    assert evil in page.get_by_label("CWL of x.cwl").input_value()
    assert page.locator("#wrong").count() == 1


def test_run_pressed_twice_is_one_workflow(pages: Pages) -> None:
    ticket = pages.ticket()
    with session() as db:
        key = find(db, ticket).form_key
    form = {"form_key": key, "key": "k1", "action": "run", "document_name": "echo.cwl", "document_text": TOOL}
    answers = [pages.send("/ui/submit", ticket, **form, inputs="word: x") for _ in range(2)]
    assert answers == [(303, "/ui/workflows/1")] * 2
    status, words = pages.send("/ui/submit", ticket, **form, inputs="word: y")
    assert status == 200 and "the idempotency key" in words
