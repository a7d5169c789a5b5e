"""Who waits for whom: VOs do not wait for each other, and at a banned site only test jobs run."""

from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest
from sqlalchemy import select

from diracx_tasks.core.database import new_session, session
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.jobs.tables import Job
from diracx_tasks.matching.match import THREADS, match
from diracx_tasks.matching.node import Node
from diracx_tasks.resources import status as resources
from tests.api.stores import ON_MARIADB, installation, migrated
from tests.builders import VO, a_job, template
from tests.unit.matching.ends import a_node

__all__ = ["installation", "migrated", "template"]
pytestmark = [ON_MARIADB, pytest.mark.usefixtures("installation")]


def waiting(count: int, *, vo: str = VO, job_type: str = "User") -> list[int]:
    with session() as db:
        return [a_job(db, vo=vo, job_type=job_type) for _ in range(count)]


def given(vo: str = VO, node: Node | None = None) -> list[int]:
    return [one.job_id for one in match(vo, node or a_node(), stamp="stamp").jobs]


def test_a_vo_whose_claims_are_held_up_holds_up_nobody_else() -> None:
    """Its pilots have some of the threads; beyond those they are told to come again."""
    mine, others = waiting(THREADS), waiting(1, vo="belle")
    with ThreadPoolExecutor(THREADS) as threads, new_session() as holder:
        holder.execute(select(Job.job_id).where(Job.job_id == mine[0]).with_for_update()).all()
        asked = [threads.submit(given) for _ in range(THREADS)]
        # Those that are refused are so at once; the others wait for the holder.
        first = next(as_completed(asked))
        with pytest.raises(Unavailable, match=f"pilots of {VO} are being answered"):
            first.result()
        assert given("belle") == others
        holder.rollback()
    got = [job_id for one in asked if not one.exception() for job_id in one.result()]
    assert sorted(got) == mine[: len(got)] and len(got) < THREADS


def test_at_a_site_that_is_banned_only_test_jobs_run() -> None:
    (job,), (test,) = waiting(1), waiting(1, job_type="Test")
    with session() as db:
        resources.state(db, resources.Element("CERN", "Site"), "Banned", "power cut")
    assert [given(node=Node("CERN", cores=1, ram_mb=2000)) for _ in range(2)] == [[test], []]
    assert given(node=Node("RAL", cores=1, ram_mb=2000)) == [job]
