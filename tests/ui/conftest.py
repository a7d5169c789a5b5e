"""A server with our pages, visitors who are logged in, and a real browser."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.api.conftest import isolates
from tests.builders import Installation, installation, template
from tests.servers.programs import need
from tests.ui.visitor import Pages, Visitor, open_visitor, serving

__all__ = ["installation", "isolates", "template"]
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, without a window.

    Not longer than for this package: Playwright keeps an event loop running in the tests' thread.
    """
    with (
        sync_playwright() as play,
        play.chromium.launch(executable_path=need("chromium"), args=list(FLAGS)) as found,
    ):
        yield found


@pytest.fixture
def pages(installation: Installation) -> Iterator[Pages]:
    """A server whose VO lhcb has the users alice and bob; who operates is in the group `operators`."""
    with serving(installation) as found:
        yield found


@pytest.fixture
def visit(pages: Pages, browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """Opens a browser window of somebody who is logged in; at the end no page may have complained."""
    opened: list[Visitor] = []

    def begin(name: str = "alice", group: str = "user", **options: Any) -> Visitor:
        opened.append(open_visitor(pages, browser, name, group, **options))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()
    complaints = [words for one in opened for words in one.complaints]
    assert not complaints, complaints
