"""Somebody with a browser: his login, the window that he looks at, and what its console says."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from diracx_api.ui.visit import TICKET
from diracx_tasks.auth import refresh
from diracx_tasks.core.database import session
from tests.api.served import served
from tests.builders import Installation
from tests.logins import USERS, configured

# WCAG 2.2 level A and AA.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
OPERATORS = "      operators: {Properties: [NormalUser, ServiceAdministrator], Users: [subject-of-alice]}\n"
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


@contextmanager
def serving(installation: Installation, **stated: str) -> Iterator[Pages]:
    """A server for browsers on an installation."""
    text = f"Registry:\n  lhcb:{USERS}{OPERATORS}  belle:{USERS}"
    with configured(installation, text, DIRACX_LOGIN_PAGE="true", **stated), served() as url:
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

    def picture(self, name: str) -> None:
        """A screenshot for people, where DIRACX_PICTURES names a folder."""
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
    known = ticket or pages.ticket(name, group)
    context.add_cookies([{"name": TICKET, "value": known, "url": f"{pages.url}/ui", "httpOnly": True}])
    found = Visitor(pages, context, context.new_page())

    def told(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            found.complaints.append(f"{found.page.url}: {message.text}")

    found.page.on("console", told)
    found.page.on("pageerror", lambda error: found.complaints.append(f"{found.page.url}: {error}"))
    return found
