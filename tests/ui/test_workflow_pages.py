"""Workflows in a browser: the list, and one with its graph and steps."""

from collections.abc import Callable

from tests.ui.pi import Pi
from tests.ui.visitor import Visitor

Visit = Callable[..., Visitor]


def test_look(visit: Visit) -> None:
    pi = Pi().half_way()
    done = Pi().to_the_end(3.14)
    failed = Pi().advance()
    failed.run(failed.jobs("simulate"))
    failed.end(failed.jobs("simulate", 3), error="no such file: darts.txt")
    alice = visit()
    alice.goto("/ui/workflows")
    alice.picture("workflows")
    for name, one in (("running", pi), ("done", done), ("failed", failed)):
        page = alice.goto(one.at)
        alice.picture(f"workflow-{name}")
        print(page.title())
    for tab in ("timeline", "log", "outputs", "inputs", "resources", "events", "files", "steps/simulate"):
        page = alice.goto(f"{pi.at}/{tab}")
        page.wait_for_timeout(500)
        alice.picture("wf-" + tab.replace("/", "-"))
    page = alice.goto(f"{done.at}/outputs")
    alice.picture("wf-outputs-done")
    page = alice.goto(f"{done.at}/timeline")
    alice.picture("wf-timeline-done")
