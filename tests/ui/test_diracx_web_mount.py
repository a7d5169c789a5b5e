"""DiracX-Web's calls from a page of an export that this server serves: on its own origin, by a browser."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from diracx_tasks.core.database import session
from diracx_tasks.jobs.states import Status
from diracx_tasks.sandboxes import metadata
from diracx_tasks.sandboxes.store import FolderStore, store
from tests.api.served import served
from tests.builders import HEX, Installation, a_job
from tests.logins import configuration, configured
from tests.provider import provider
from tests.servers import free_port

EXPORT = Path(__file__).parent / "export"
ALICE = metadata.Owner("alice", "user", "lhcb")


@pytest.fixture
def url(installation: Installation) -> Iterator[str]:
    """A server with an export and a VO that has a provider."""
    port = free_port()
    own = {"DIRACX_URL": f"http://127.0.0.1:{port}", "DIRACX_WEB_ROOT": str(EXPORT)}
    with provider() as idp, configured(installation, configuration(idp.url), **own), served(port) as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A window without a login, whose pages have nothing to complain of."""
    complaints: list[str] = []
    with browser.new_context() as context:
        found = context.new_page()
        found.on("console", lambda one: complaints.append(one.text) if one.type != "log" else None)
        found.on("pageerror", lambda error: complaints.append(str(error)))
        yield found
    assert not complaints, complaints


def with_an_output(name: str) -> int:
    """A job that is Done, and its output sandbox."""
    with session() as db:
        job_id = a_job(db, Status.DONE, name=name)
        grant = metadata.initiate(db, ALICE, checksum=HEX, size=3)
        place = store()
        assert isinstance(place, FolderStore)
        place.receive(grant["fields"], BytesIO(b"hey"))
        metadata.assign(db, f"Job:{job_id}", [grant["pfn"]], "Output")
    return job_id


def after(page: Page, name: str) -> Any:
    """What the page says when a button was pressed."""
    page.get_by_role("button", name=name, exact=True).click()
    said = page.locator("#said:not(:empty)", has_not_text="...")
    return json.loads(said.inner_text())


def test_a_page_of_the_export_logs_in_and_does_what_diracx_web_does(url: str, page: Page) -> None:
    done = with_an_output("the first")
    with session() as db:
        waits = a_job(db, Status.WAITING, name="the second")
        killed = a_job(db, Status.RUNNING, name="the third")
    page.goto(url)
    page.get_by_role("button", name="Log in to lhcb").click()
    page.get_by_role("button", name="Table").wait_for()
    assert page.url == f"{url}/"
    assert after(page, "Who") == "alice"
    assert after(page, "Table") == ["jobs 0-1/3", ["Running", "Waiting"]]
    assert after(page, "Filter") == ["the second"]
    assert after(page, "Donut") == {"Done": 1, "Running": 1, "Waiting": 1}
    page.goto(f"{url}/?job={killed}")
    assert after(page, "History") == ["Received", "Waiting", "Matched", "Running"]
    assert after(page, "Kill")[str(killed)]["Status"] == "Killed"
    assert after(page, "Donut") == {"Done": 1, "Killed": 1, "Waiting": 1}
    assert list(after(page, "Reschedule")) == [str(killed)]
    assert after(page, "Donut") == {"Done": 1, "Received": 1, "Waiting": 1}
    page.goto(f"{url}/?job={waits}")
    assert after(page, "Delete")[str(waits)]["Status"] == "Deleted"
    page.goto(f"{url}/?job={done}")
    assert after(page, "Sandbox") == "hey"
    page.get_by_role("link", name="About").click()
    assert page.title() == "About the login"
    page.goto(url)
    assert after(page, "Logout") == 200


def test_our_own_pages_are_beside_it(url: str, page: Page) -> None:
    page.goto(f"{url}/ui/login")
    assert page.get_by_role("link", name="lhcb / user").is_visible()
