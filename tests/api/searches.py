"""Five jobs to be searched for, and searches."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Job
from tests.api.caller import ALICE, Api
from tests.builders import a_job

PATH = "/api/jobs/search"
START = datetime(2026, 1, 31, 23, 59, 58)
NAMES = ["alpha", "Beta", "gamma 100%", "de_lta", "ε"]


@pytest.fixture
def jobs(db: Session) -> list[int]:
    """Five jobs that differ in every kind of column, a second apart; one of another VO."""
    made = [a_job(db, name=name, owner="alice" if place % 2 else "bob") for place, name in enumerate(NAMES)]
    for place, job_id in enumerate(made):
        values: dict[str, Any] = {
            "priority": place,
            "submitted_at": START + timedelta(seconds=place),
            "started_at": None if place in (1, 3) else START + timedelta(days=40 * place),
            "verified": "True" if place % 2 else "False",
            "accounted": ("True", "False", "Failed")[place % 3],
            "status": Status.DONE if place < 2 else Status.WAITING,
        }
        db.execute(update(Job).where(Job.job_id == job_id).values(**values))
    a_job(db, vo="belle", name="alpha")
    db.commit()
    return made


def ask(api: Api, *, by: User = ALICE, query: dict[str, Any] | None = None, **body: Any) -> Any:
    return api.post(PATH, body, by=by, params=query or {})


def rows(api: Api, **body: Any) -> list[dict[str, Any]]:
    answer = ask(api, **body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def about(parameter: str, operator: str, value: Any) -> dict[str, Any]:
    name = "values" if operator in ("in", "not in") else "value"
    return {"parameter": parameter, "operator": operator, name: value}
