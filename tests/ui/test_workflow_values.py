"""Outputs in a browser: previews, downloads, long arrays, and files that would like to run."""

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser

from diracx_api.ui import workflow_values
from diracx_tasks.core.database import session
from diracx_tasks.core.settings import settings
from diracx_tasks.sandboxes import metadata
from tests.builders import Installation
from tests.ui.pi import Pi
from tests.ui.test_workflow_log import CLOSED
from tests.ui.visitor import Pages, Visitor, open_visitor, serving

Visit = Callable[..., Visitor]
ALICE = metadata.Owner("alice", "user", "lhcb")
DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
EVIL = b"<html><script>document.title = 'run'; fetch('/ui/logout')</script></html>"
EVIL_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="document.title = \'run\'"></svg>'


def a_file(name: str, content: bytes, owner: metadata.Owner = ALICE) -> dict[str, Any]:
    """A stored file of alice's, as a CWL value."""
    digest = hashlib.sha256(content).hexdigest()
    with session() as db:
        pfn = metadata.initiate(db, owner, checksum=digest, size=len(content))["pfn"]
    place = settings().data / "sandboxes" / metadata.key_of(metadata.plain(pfn))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    location = metadata.location_of(pfn)
    return {"class": "File", "basename": name, "location": location, "size": len(content)}


def test_texts_json_and_pictures_are_shown_and_everything_can_be_kept(visit: Visit) -> None:
    beside = a_file("plot.png.idx", b"1 2 3\n")
    listing = [a_file("notes.txt", b"seven darts\n"), a_file("fit.json", json.dumps({"a": [1, 2]}).encode())]
    folder = {"class": "Directory", "basename": "more", "listing": listing}
    pi = Pi().to_the_end([{**a_file("plot.png", DOT), "secondaryFiles": [beside]}, folder, "plain words"])
    alice = visit()
    page = alice.goto(f"{pi.at}/outputs")
    assert "plain words" in page.inner_text("main") and "seven darts" in page.inner_text("main")
    assert '"a": [\n    1,' in page.get_by_label("fit.json").inner_text()
    picture = page.get_by_role("img", name="plot.png")
    picture.scroll_into_view_if_needed()
    assert picture.evaluate("one => one.decode().then(() => one.naturalWidth)") == 1
    alice.picture("workflow-outputs")
    alice.is_accessible()
    with page.expect_download() as found:
        page.get_by_role("link", name="download notes.txt").click()
    assert found.value.suggested_filename == "notes.txt"
    assert found.value.path().read_bytes() == b"seven darts\n"
    page.get_by_role("link", name="notes.txt", exact=True).click()
    assert page.get_by_role("link", name="Download").is_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    alice.fits()


@pytest.mark.parametrize(
    "name, kept",
    [
        ('../../evil".html', "evil_.html"),
        ("evil.svg", "evil.svg"),
        ("..", "file"),
        ("a\r\nSet-Cookie: x=y", "a_Set-Cookie_ x=y"),
    ],
)
def test_what_users_wrote_never_runs(visit: Visit, pages: Pages, name: str, kept: str) -> None:
    content = EVIL_SVG if name.endswith("svg") else EVIL
    pi = Pi().to_the_end(a_file(name, content))
    alice = visit()
    page = alice.goto(f"{pi.at}/outputs")
    assert "title = 'run'" in page.inner_text("pre")
    address = page.locator("a[download]").get_attribute("href")
    answer = page.request.get(f"{pages.url}{address}")
    assert (answer.status, answer.body()) == (200, content)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "x=y" not in answer.headers.get("set-cookie", "")
    picture = page.request.get(f"{pages.url}{str(address).replace('/content', '/picture')}")
    assert (picture.status, picture.headers["content-type"]) == (400, "text/html; charset=utf-8")
    with page.expect_download() as found:
        page.locator("a[download]").click()
    assert found.value.suggested_filename.lstrip("._") == kept.lstrip("._")
    assert page.title().startswith("Done")


def test_files_are_their_owners(visit: Visit, pages: Pages) -> None:
    pi = Pi().to_the_end(a_file("notes.txt", b"seven darts\n"))
    bob = visit("bob")
    page = bob.goto(f"{pi.at}/outputs")
    assert "notes.txt" in page.inner_text("main") and "seven darts" not in page.content()
    address = str(page.locator("a[download]").get_attribute("href"))
    for what in ("/content", "/picture", ""):
        answer = page.request.get(f"{pages.url}{address.replace('/content', what)}")
        assert (answer.status, "seven darts" in answer.text()) == (403, False)
    odd = page.request.get(f"{pages.url}/ui/stored/content?at=sandbox:/S3/local/lhcb/user/bob/../alice/x")
    assert odd.status == 400


def test_long_arrays_are_turned_page_by_page(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow_values, "PER_PAGE", 3)
    monkeypatch.setattr(workflow_values, "FIRST", 2)
    pi = Pi().to_the_end(3.14)
    alice = visit()
    page = alice.goto(f"{pi.at}/outputs")
    assert "Elements 0 to 1 of 8" in page.inner_text("main")
    alice.follow("All of counts")
    seen = []
    while True:
        seen += page.locator("dl.list > dt").all_inner_texts()
        if not page.get_by_role("link", name="Next").count():
            break
        alice.follow("Next")
    assert seen == [str(number) for number in range(8)]
    assert page.request.get(f"{page.url.partition('?')[0]}?name=nothing").status == 404


def test_where_one_sees_ones_own_jobs_only_inputs_are_their_owners_and_outputs_are_given(
    installation: Installation, browser: Browser
) -> None:
    with serving(installation, CLOSED) as pages:
        pi = Pi(title="three dozen darts").to_the_end("plain words")
        bob, alice = (open_visitor(pages, browser, name, "user") for name in ("bob", "alice"))
        for path in ("/inputs", "/inputs?name=title"):
            page = bob.goto(pi.at + path)
            assert "three dozen darts" not in page.content()
            assert "inputs of this workflow are alice's" in page.inner_text("main")
        bob.is_accessible()
        assert "plain words" in bob.goto(f"{pi.at}/outputs").inner_text("main")
        assert "three dozen darts" in alice.goto(f"{pi.at}/inputs").inner_text("main")
        for one in (bob, alice):
            one.close()
            assert one.complaints == []


def test_before_the_end_there_are_inputs_and_no_outputs(visit: Visit) -> None:
    pi = Pi(title="three dozen darts").half_way()
    alice = visit()
    assert "three dozen darts" in alice.goto(f"{pi.at}/inputs").inner_text("main")
    assert "gives its outputs at its end. 7 of 8 jobs" in alice.goto(f"{pi.at}/outputs").inner_text("main")
