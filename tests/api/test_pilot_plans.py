"""Where pilots are sent, and tests of queues, over the API and the commands behind it."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.core.database import reading
from diracx_tasks.engine.tables import Outbox
from tests.api.caller import Api
from tests.api.stores import installation, migrated
from tests.builders import a_user
from tests.unit.matching.ends import waiting
from tests.unit.pilots.spool import Grid, grid, statuses

__all__ = ["grid", "installation", "migrated"]
OPERATOR = a_user("carol", properties=(SERVICE,))


@pytest.fixture(autouse=True)
def sites(grid: Grid) -> Iterator[Grid]:
    yield grid


def planned(api: Api, **body: Any) -> Any:
    answer = api.post("/api/pilots/plan", body, by=OPERATOR)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(api: Api) -> None:
    waiting(3)
    found = planned(api)
    assert {key: found[key] for key in ("jobs", "homeless", "new", "is_dry_run")} == {
        "jobs": 3,
        "homeless": 0,
        "new": 3,
        "is_dry_run": True,
    }
    assert found["queues"][0] == {
        "site": "LCG.CERN.ch",
        "ce": "ce1",
        "queue": "short",
        "new": 3,
        "surplus": 0,
        "waiting": 0,
        "running": 0,
        "wait_seconds": 300.0,
        "breaker": "closed",
        "words": "",
    }
    assert statuses() == {}


def test_a_plan_is_carried_out_by_its_task(api: Api) -> None:
    assert planned(api, dry_run=False)["is_dry_run"] is False
    with reading() as db:
        assert db.scalars(select(Outbox.task).where(Outbox.key == "vo-lhcb.plan")).all() == [
            "pilots.plan_pilots"
        ]


def test_a_site_is_tested_and_what_came_of_it_is_told(api: Api) -> None:
    answer = api.post("/api/sites/test", {"site": "LCG.RAL.uk"}, by=OPERATOR)
    (test,) = answer.json()
    assert {**test, "job_id": 0} == {"site": "LCG.RAL.uk", "ce": "ce2", "queue": "long", "job_id": 0}
    rows = {row["queue"]: row for row in api.get("/api/sites/tests").json()}
    assert (rows["long"]["job_id"], rows["long"]["status"]) == (test["job_id"], "Running")
    assert (rows["big"]["job_id"], rows["big"]["status"]) == (None, "")


def test_a_site_that_is_not_there_is_404_and_a_user_may_not_test(api: Api) -> None:
    unknown = api.post("/api/sites/test", {"site": "LCG.PIC.es"}, by=OPERATOR)
    assert unknown.status_code == 404
    assert unknown.json()["detail"] == "pilots of lhcb are sent to no queue of LCG.PIC.es"
    assert api.post("/api/sites/test", {}).status_code == 403
