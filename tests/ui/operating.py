"""What operators look at, in a test: tasks that wait, ran and died, and a window of who may operate."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from diracx_tasks.core import remembered
from diracx_tasks.core.database import session
from diracx_tasks.engine import schedules
from tests.ui.visitor import Visitor

Visit = Callable[..., Visitor]
# What else than a large light window pages are looked at in.
KINDS: tuple[dict[str, Any], ...] = (
    {"viewport": {"width": 390, "height": 800}},
    {"color_scheme": "dark"},
    {"java_script_enabled": False},
)


@pytest.fixture
def olga(visit: Visit) -> Iterator[Visitor]:
    """The window of somebody who may operate the service."""
    remembered._KEPT.clear()
    yield visit("alice", "operators")
    remembered._KEPT.clear()


@pytest.fixture
def schedule(olga: Visitor) -> None:
    """The schedule as beat stores it."""
    with session() as db:
        schedules.synchronize(db)


def sure(page: Page, action: str) -> str:
    """Open the question behind a button and answer yes; gives the question."""
    form = page.locator(f'details.act:has(form[action="{action}"])').first
    form.locator("summary").click()
    question = form.locator("p").inner_text()
    form.locator("button").click()
    return question


def press(page: Page, action: str) -> None:
    """A button that asks nothing."""
    page.locator(f'form[action="{action}"] button').first.click()


def said(page: Page) -> str:
    """What the page says was done."""
    return page.locator(".said").inner_text()
