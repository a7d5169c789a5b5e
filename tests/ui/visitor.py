"""Somebody with a browser: his login, the window that he looks at, and what its console says."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from diracx_api.ui.visit import HOME, TICKET
from diracx_tasks.auth import refresh
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import session
from tests.api.served import served
from tests.builders import Installation, bearer
from tests.logins import USERS, configured
from tests.servers import free_port

# WCAG 2.2 level A and AA.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
GROUPS = """      operators: {Properties: [NormalUser, ServiceAdministrator], Users: [subject-of-alice]}
      nobodies: {Properties: [ProxyManagement], Users: [subject-of-alice]}
"""
PASSWORD = "a-good-password"
WIDTH, HEIGHT = 1280, 900


@dataclass(frozen=True)
class Pages:
    """A server with our pages."""

    url: str
    installation: Installation

    def ticket(self, name: str = "alice", group: str = "user", vo: str = "lhcb") -> str:
        """What the browser of somebody who has logged in keeps."""
        with session() as db:
            return refresh.begin(db, f"vo:{vo} group:{group}", f"subject-of-{name}").refresh

    def ask(self, method: str, path: str, body: Any, *, by: User) -> Any:
        """What the API answers somebody's program."""
        headers = {**bearer(by), "Content-Type": "application/json"}
        answer = urllib3.request(method, self.url + path, body=json.dumps(body), headers=headers)
        assert answer.status < 300, answer.data
        return answer.json() if answer.data else None

    def headers(self, path: str, ticket: str) -> tuple[int, Mapping[str, str]]:
        """Status and headers of a page that somebody who has a ticket asks for."""
        cookie = {"Cookie": f"{TICKET}={ticket}"}
        answer = urllib3.request("GET", self.url + path, headers=cookie, redirect=False)
        return answer.status, answer.headers

    def upload(self, grant: dict[str, Any], content: bytes) -> None:
        """Store a file under a grant of the API."""
        answer = urllib3.request("POST", grant["url"], fields={**grant["fields"], "file": ("file", content)})
        assert answer.status == 204, answer.data

    def send(
        self, path: str, ticket: str, *, method: str = "POST", site: str | None = "same-origin", **form: str
    ) -> tuple[int, str]:
        """What a form gets that somebody who has a ticket sends by hand: the status, and where it leads."""
        kind = "application/x-www-form-urlencoded"
        answer = urllib3.request(
            method,
            self.url + path,
            body=urlencode(form) if method == "POST" else None,
            headers={"Cookie": f"{TICKET}={ticket}", "Content-Type": kind}
            | ({"Sec-Fetch-Site": site} if site else {}),
            redirect=False,
            timeout=60,
        )
        return answer.status, answer.headers.get("Location", answer.data.decode())


@contextmanager
def serving(installation: Installation, more: str = "", **stated: str) -> Iterator[Pages]:
    """A server for browsers on an installation; `more` is added to its configuration."""
    text = f"Registry:\n  lhcb:{USERS}{GROUPS}  belle:{USERS}{more}"
    port = free_port()
    own = {"DIRACX_LOGIN_PAGE": "true", "DIRACX_URL": f"http://127.0.0.1:{port}"}
    (installation.folder / "keys" / "login").write_text(PASSWORD)
    with configured(installation, text, **own, **stated), served(port) as url:
        yield Pages(url, installation)


@dataclass
class Visitor:
    """A window of a browser in which somebody is logged in."""

    pages: Pages
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def goto(self, path: str) -> Page:
        """Go to a page, which must be there."""
        answer = self.page.goto(self.pages.url + path)
        assert answer is not None and answer.ok, (
            path,
            answer and answer.status,
            self.page.inner_text("body"),
        )
        return self.page

    def keep(self, ticket: str) -> None:
        """Have the browser keep what it got for a login."""
        where = {"domain": str(urlsplit(self.pages.url).hostname), "path": HOME}
        self.context.add_cookies([{"name": TICKET, "value": ticket, "httpOnly": True, **where}])  # type: ignore[typeddict-item]

    def follow(self, name: str) -> Page:
        """Follow a link to another page."""
        with self.page.expect_navigation():
            self.page.get_by_role("link", name=name, exact=True).click()
        return self.page

    def picture(self, name: str) -> None:
        """A screenshot for people, where PICTURES names a folder."""
        if folder := os.environ.get("PICTURES"):
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    def is_accessible(self) -> None:
        """Fail with what stands in the way of people who see or move differently."""
        found = Axe().run(self.page, options={"runOnly": {"type": "tag", "values": RULES}})
        assert not found.response["violations"], found.generate_report()

    def fits(self) -> None:
        """Fail when the page is wider than the window."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{self.page.url} is {wide} pixels wider than its window"

    def close(self) -> None:
        """Close the window."""
        self.context.close()


def open_visitor(
    pages: Pages, browser: Browser, name: str, group: str, *, ticket: str = "", **options: Any
) -> Visitor:
    """A new window of somebody who is logged in; options are the browser's (`java_script_enabled`, ...)."""
    settings = {"viewport": {"width": WIDTH, "height": HEIGHT}, "reduced_motion": "reduce", **options}
    context = browser.new_context(**settings)
    context.set_default_timeout(15_000)
    found = Visitor(pages, context, context.new_page())
    found.keep(ticket or pages.ticket(name, group))

    def told(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            found.complaints.append(f"{found.page.url}: {message.text}")

    found.page.on("console", told)
    found.page.on("pageerror", lambda error: found.complaints.append(f"{found.page.url}: {error}"))
    return found
