"""What the pages of a large workflow cost: milliseconds on the server, and bytes."""

import argparse
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi.testclient import TestClient

from diracx_api.app import create_app
from diracx_api.ui import drawing
from diracx_api.ui.visit import TICKET
from diracx_tasks.auth import keys, refresh
from diracx_tasks.core import remembered
from diracx_tasks.core.database import session
from diracx_tasks.core.schema import migrate
from diracx_tasks.core.settings import settings
from tests.bench.installations import Database
from tests.bench.pages_world import Size, a_large_workflow, small_workflows
from tests.builders import Installation
from tests.logins import USERS, configured
from tests.servers import Redis

TIMES = 9
BOUND_MS, BOUND_BYTES = 200.0, 1_000_000
PART = {"HX-Request": "true"}


@dataclass(frozen=True)
class Cost:
    """A page: the first time, the least and the middle of some more, and how large it is."""

    page: str
    first_ms: float
    least_ms: float
    ms: float
    bytes: int

    def __str__(self) -> str:
        mark = "" if self.least_ms <= BOUND_MS and self.bytes <= BOUND_BYTES else "  too much"
        times = f"{self.first_ms:>10.0f}{self.least_ms:>10.0f}{self.ms:>10.0f}"
        return f"  {self.page:44}{times}{self.bytes:>12,}{mark}"


def main(*arguments: str) -> None:
    """Measure, and print a table for each database."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench pages")
    parser.add_argument("--mariadb", action="store_true", help="on MariaDB as well")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=100_000, help="of all steps together")
    asked = parser.parse_args(arguments)
    for name in ["sqlite", "mariadb"] if asked.mariadb else ["sqlite"]:
        with installed(name) as client:
            sizes = {"many steps": Size(asked.steps, asked.jobs // asked.steps), "wide": Size(1, asked.jobs)}
            made = {title: a_large_workflow(size) for title, size in sizes.items()}
            small_workflows(50)
            print(f"\n{name}{'':38}{'first ms':>12}{'least':>10}{'middle':>10}{'bytes':>12}")
            for title, size in sizes.items():
                print(f"{title}: {size.steps:,} steps of {size.jobs:,} jobs")
                for page in pages(made[title]):
                    print(cost(client, page))


def pages(workflow_id: int) -> Iterator[str]:
    """The pages that are asked for."""
    at = f"/ui/workflows/{workflow_id}"
    yield from ("/ui/workflows", "/ui/workflows?name=large", at, f"{at}?state=Failed")
    for tab in ("timeline", "log", "log?step=step_0000", "outputs", "inputs", "resources", "events", "files"):
        yield f"{at}/{tab}"
    step = f"{at}/steps/step_0000"
    yield from (step, f"{step}?state=Failed", f"{step}?after=60000", f"{at}/json")


def cost(client: TestClient, page: str) -> Cost:
    """What one page costs: the first time with nothing remembered of it, then as it is renewed."""
    remembered._KEPT.clear()
    drawing._sheet.cache_clear()
    first, size = timed(client, page)
    others = sorted(timed(client, page, PART)[0] for _ in range(TIMES))
    return Cost(page, first, others[0], others[TIMES // 2], size)


def timed(client: TestClient, page: str, headers: dict[str, str] | None = None) -> tuple[float, int]:
    """Milliseconds and bytes of one answer."""
    began = time.perf_counter()
    answer = client.get(page, headers=headers or {})
    taken = 1000 * (time.perf_counter() - began)
    assert answer.status_code == 200, (page, answer.status_code, answer.text[:500])
    return taken, len(answer.content)


@contextmanager
def installed(name: str) -> Iterator[TestClient]:
    """The application in this process, on a database of its own, for alice's browser."""
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        folder = Path(made)
        redis = stack.enter_context(Redis(folder / "redis"))
        stated = {"DIRACX_LOGIN_PAGE": "true"}
        if name == "mariadb":
            stated["DIRACX_DATABASE_URL"] = stack.enter_context(Database(folder / "mariadb")).url
        stack.enter_context(configured(Installation(folder, redis), f"Registry:\n  lhcb:{USERS}", **stated))
        keys.create(settings().keys_file)
        migrate()
        # It would tell of every page that is asked for.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        client = stack.enter_context(TestClient(create_app()))
        with session() as db:
            client.cookies[TICKET] = refresh.begin(db, "vo:lhcb group:user", "subject-of-alice").refresh
        yield client
