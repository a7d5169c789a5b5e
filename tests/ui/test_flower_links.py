"""From Flower's page of a task to ours, and back; and from our workers to Flower's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from diracx_tasks.core.database import session
from diracx_tasks.core.settings import stated
from diracx_tasks.engine import outbox
from tests.builders import environment
from tests.integration.test_flower import KEY, PASSWORD, Flower, Worker
from tests.system import wait_for
from tests.ui.operating import Visit
from tests.ui.visitor import Pages

pytestmark = pytest.mark.integration
USER, _, SECRET = PASSWORD.partition(":")


@pytest.fixture
def flower(pages: Pages, tmp_path: Path) -> Iterator[Flower]:
    """Flower and our pages, which know of each other."""
    made = Flower(tmp_path / "flower", FLOWER_DIRACX_UI=pages.url)
    address = f"http://{PASSWORD}@127.0.0.1:{made.port}"
    with environment(**{**stated(), "DIRACX_FLOWER_URL": address}), made:
        yield made


def test_a_task_in_flower_leads_to_our_page_and_back(
    visit: Visit, flower: Flower, pages: Pages, tmp_path: Path
) -> None:
    theirs = f"http://127.0.0.1:{flower.port}"
    with Worker(tmp_path / "worker"):

        def is_seen() -> bool:
            with session() as db:
                outbox.enqueue(db, "workflows.advance", KEY, workflow_id=42)
            return flower.get(f"/task/{KEY}")[0] == 200

        wait_for(is_seen, 60, lambda: flower.log.read_text()[-3000:])
        # Processes write their runs some seconds late.
        wait_for(lambda: KEY in flower.page("/diracx/workflow/42"), 30, lambda: "no history")
        olga = visit("alice", "operators", http_credentials={"username": USER, "password": SECRET})
        page = olga.page
        page.goto(f"{theirs}/task/{KEY}")
        olga.picture("flower-task")
        ours = page.get_by_role("link", name="workflow-42 in DiracX")
        assert ours.get_attribute("href") == f"{pages.url}/ui/workflows/42"
        page.get_by_role("link", name="open in DiracX", exact=True).click()
        page.wait_for_url(f"{pages.url}/ui/operate/task/{KEY}")
        assert page.locator("h1").inner_text() == KEY
        assert SECRET not in page.content()
        page.get_by_role("link", name="open in Flower").click()
        page.wait_for_url(f"{theirs}/task/{KEY}")
        page = olga.goto("/ui/operate/queues")
        olga.picture("operate-queues")
        page.get_by_role("link", name="one@here").click()
        page.wait_for_url(f"{theirs}/worker/one*here")
        assert "one@here" in page.inner_text("body")
    olga.complaints = [one for one in olga.complaints if one.startswith(pages.url)]
