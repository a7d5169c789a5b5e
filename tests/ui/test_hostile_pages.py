"""What pages answer to forms and values that no page of ours sends."""

import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
import urllib3

from diracx_api.ui.draft import Draft
from diracx_api.ui.preview import preview
from diracx_api.ui.values import Shown
from diracx_api.ui.visit import TICKET
from diracx_api.ui.words import size
from diracx_tasks.auth.visits import find
from diracx_tasks.core.database import session
from diracx_tasks.core.errors import BadRequest
from tests.builders import HEX, a_user, a_workflow
from tests.ui.visitor import Pages

TOOL = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\ninputs: []\noutputs: []\n"


def send(pages: Pages, fields: Mapping[str, Any], path: str = "/ui/submit") -> tuple[int, str]:
    """What a form gets, sent as browsers do: the status, and the page."""
    ticket = pages.ticket()
    with session() as db:
        key = find(db, ticket).form_key
    headers = {"Cookie": f"{TICKET}={ticket}", "Sec-Fetch-Site": "same-origin"}
    form = {"form_key": key, **fields}
    answer = urllib3.request(
        "POST", pages.url + path, fields=form, headers=headers, redirect=False, timeout=60
    )
    return answer.status, answer.headers.get("Location", "") + answer.data.decode()


def draft(**more: Any) -> dict[str, Any]:
    return {"document_name": "a.cwl", "document_text": TOOL, "key": "k", **more}


@pytest.mark.parametrize(
    "wrong",
    [
        {"retries": ""},
        {"retries": "99"},
        {"action": "x"},
        {"on_error": "x"},
        {"key": "k" * 999, "action": "run"},
    ],
)
def test_what_no_page_sends_is_told_in_a_page(pages: Pages, wrong: dict[str, str]) -> None:
    status, page = send(pages, draft(**wrong))
    assert (status, "Not understood" in page) == (422, True), (status, page[:300])


def test_a_form_runs_once_and_says_so_when_it_comes_again_with_something_else(pages: Pages) -> None:
    first = send(pages, draft(action="run"))
    assert first == send(pages, draft(action="run")) == (303, "/ui/workflows/1")
    status, page = send(pages, draft(action="run", document_text=TOOL + "doc: other\n"))
    assert (status, "was used for workflow 1" in page, "doc: other" in page) == (200, True, True)
    key = page.partition('name="key" value="')[2].partition('"')[0]
    again = send(pages, draft(action="run", document_text=TOOL + "doc: other\n", key=key))
    assert again == (303, "/ui/workflows/2")


def test_a_file_of_somebody_else_is_refused_in_the_form(pages: Pages) -> None:
    theirs = f"sandbox:/S3/sandboxes/lhcb/user/bob/sha256:{'0' * 64}.file"
    tool = TOOL.replace("inputs: []", "inputs: {data: File}")
    inputs = f"data: {{class: File, location: '{theirs}'}}"
    status, page = send(pages, draft(action="run", document_text=tool, inputs=inputs))
    assert (status, "PFN must start with" in page, theirs in page) == (200, True, True), page[:500]


def test_inputs_of_more_than_a_megabyte_come_back_and_take_no_time(pages: Pages) -> None:
    begun = time.process_time()
    status, page = send(pages, draft(document_text="class: Workflow", inputs="- {a: 1}\n" * 140_000))
    assert (status, "it cannot run" in page) == (200, True), page[:300]
    assert page.count("- {a: 1}") == 140_000
    assert time.process_time() - begun < 5


def test_aliases_do_not_make_much_of_little() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{name}: &{name} [{', '.join(['*' + before] * 9)}]" for before, name in pairwise("abcdefghijk")
    ]
    found = Draft(inputs="\n".join(lines), files={"x.dat": "sandbox:x"})
    with pytest.raises(BadRequest, match="aliases"):
        assert found.given


def test_many_empty_lines_take_no_time() -> None:
    begun = time.process_time()
    Draft().take("x.dat", b"\n" * 50_000 + b"x")
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("text", [b"[" * 300 + b"]" * 300, b'{"a":' * 300 + b"1" + b"}" * 300])
def test_deep_json_is_shown_as_text(text: bytes) -> None:
    assert preview(text, len(text)).kind == "text"


@pytest.mark.parametrize(
    "value",
    [
        {"class": "Directory", "listing": ["x"]},
        {"class": "Directory", "listing": 5},
        {"class": "File", "secondaryFiles": "ab"},
        {"class": "File", "secondaryFiles": ["ab"], "size": 10**400},
    ],
)
def test_values_that_are_no_files_are_shown_all_the_same(value: Any) -> None:
    shown = Shown().item(value)
    assert isinstance(size(shown.size), str)


@pytest.mark.parametrize(
    "path",
    [
        "/ui/submit/again/99999999999999999999999",
        "/ui/static/%00",
        "/ui/jobs?before=0",
        "/ui/jobs?after=9223372036854775807",
        "/ui/pilots?before=9223372036854775807&after=x",
        "/ui/jobs/1/sandbox?pfn=%00",
        "/ui/workflows/1/steps/%00",
        "/ui/stored?at=lfn:/lhcb/%00",
        "/ui/stored?at=sandbox:%00",
        "/ui/stored/content?at=lfn:/lhcb",
        "/ui/sites/%2e%2e",
        "/ui/sites/a%2Fb",
        "/ui/usage?from=0001-01-01",
        "/ui/usage?to=9999-12-31",
        "/ui/usage?from=0001-01-01&to=0001-01-01",
        "/ui/usage/csv?to=9999-12-31",
        "/ui/usage/plot?to=9999-12-31",
        "/ui/usage/plot?from=0001-01-01&to=0001-01-01",
        "/ui/jobs?name=%F0%9F%92%A9%00",
        "/ui/workflows?name=%00&owner=%F0%9F%92%A9",
        "/ui/operate/schedule/%00",
        "/ui/operate/task/%00",
        "/ui/operate/tasks?subject=%00",
        "/ui/pilots?site=%00",
        "/ui/login?onwards=/ui%0d%0aX:y",
        "/ui/login/begin?vo=%0d%0a&group=x",
        "/ui/login/begin?vo=lhcb&group=user&onwards=/ui/" + "x" * 4000,
    ],
)
def test_odd_addresses_are_no_errors_of_the_server(pages: Pages, path: str) -> None:
    status, _ = pages.headers(path, pages.ticket(group="operators"))
    assert status < 500


def test_who_logs_in_from_a_very_long_address_begins_at_the_first_page(pages: Pages) -> None:
    answer = urllib3.request("GET", f"{pages.url}/ui/jobs?name={'x' * 5000}", redirect=False)
    page = urllib3.request("GET", pages.url + answer.headers["Location"], redirect=False)
    begin = page.data.decode().partition('href="/ui/login/begin')[2].partition('"')[0].replace("&amp;", "&")
    begun = urllib3.request("GET", f"{pages.url}/ui/login/begin{begin}", redirect=False)
    assert (page.status, begun.status, len(begun.headers["Set-Cookie"]) < 4096) == (200, 303, True)


def test_a_form_with_too_many_fields_is_refused_in_a_page(pages: Pages) -> None:
    status, page = send(pages, {f"f{number}": "x" for number in range(1100)}, "/ui/settings")
    assert (status, "<h1>" in page, "Too many fields" in page) == (400, True, True), page[:300]


@pytest.mark.parametrize("what", ["", "/content", "/picture"])
def test_a_file_that_was_announced_and_never_sent_is_not_there(pages: Pages, what: str) -> None:
    body = {"checksum_algorithm": "sha256", "checksum": HEX, "size": 3, "format": "file"}
    place = pages.ask("POST", "/api/jobs/sandbox", body, by=a_user())["location"]
    status, _ = pages.headers(f"/ui/stored{what}?at={place}", pages.ticket())
    assert status == 404


def test_a_timeline_is_there_before_there_are_jobs(pages: Pages) -> None:
    with session() as db:
        number = a_workflow(db, words="once").workflow_id
    status, _ = pages.headers(f"/ui/workflows/{number}/timeline", pages.ticket())
    assert status == 200
