"""The list of workflows in a browser."""

from collections.abc import Callable
from typing import Any

import pytest

from diracx_api.ui import workflows
from diracx_tasks.core.database import session
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.tables import Workflow
from tests.builders import a_user, a_workflow
from tests.ui.pi import Pi
from tests.ui.visitor import Pages, Visitor

Visit = Callable[..., Visitor]


def a_named(title: str, status: Status = Status.RUNNING, **stated: Any) -> int:
    """A workflow with a name, in a state."""
    with session() as db:
        found: Workflow = a_workflow(db, by=a_user(**stated))
        found.name, found.status = title, status
        return found.workflow_id


def test_workflows_are_filtered_by_the_address_and_an_empty_list_says_why(visit: Visit) -> None:
    a_named("pi <b>twice</b>")
    a_named("sigma 100%", Status.FAILED)
    a_named("tau", name="bob")
    a_named("of another VO", vo="belle")
    alice = visit()
    page = alice.goto("/ui/workflows")
    assert page.locator("tbody tr").count() == 3
    assert page.get_by_text("pi <b>twice</b>").is_visible()
    page.get_by_label("Status", exact=True).select_option("Failed")
    page.get_by_role("button", name="Show").click()
    assert "status=Failed" in page.url and page.locator("tbody tr").count() == 1
    for query, left in (("owner=bob", 1), ("name=PI", 1), ("name=%25", 1), ("name=_", 0)):
        assert alice.goto(f"/ui/workflows?{query}").locator("tbody tr").count() == left, query
    alice.goto("/ui/workflows?status=Done")
    assert "No workflow matches Status = Done" in page.inner_text("main")
    assert "3 workflows without this filter" in page.inner_text("main")


def test_each_workflow_shows_its_progress_and_pages_lead_there_and_back(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflows, "PER_PAGE", 2)
    pi = Pi().half_way()
    newer = [a_named(f"number {number}") for number in range(4)]
    alice = visit()
    page = alice.goto("/ui/workflows")

    def shown() -> list[str]:
        return page.locator("tbody td:first-child").all_inner_texts()

    seen = shown()
    while page.get_by_role("link", name="Older").count():
        alice.follow("Older")
        seen += shown()
    assert seen == [str(number) for number in [*reversed(newer), pi.workflow_id]]
    assert "7/8" in page.inner_text(f"#workflow-{pi.workflow_id}")
    while page.get_by_role("link", name="Newer").count():
        alice.follow("Newer")
    assert shown() == [str(number) for number in newer[:1:-1]]


def test_the_list_is_read_without_javascript_on_a_phone_and_in_the_dark(visit: Visit, pages: Pages) -> None:
    Pi().half_way()
    plain = visit(java_script_enabled=False)
    assert "7/8" in plain.goto("/ui/workflows").inner_text("tbody")
    phone = visit(viewport={"width": 390, "height": 800}, color_scheme="dark")
    phone.goto("/ui/workflows")
    phone.picture("workflows-phone")
    phone.fits()
    phone.is_accessible()
    nobody = visit(ticket=pages.ticket(vo="belle"))
    assert "There are no workflows yet" in nobody.goto("/ui/workflows").inner_text("main")
