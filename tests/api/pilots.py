"""Pilots for tests: on SQLite and MariaDB, registered, and past the API."""

from collections.abc import Iterator
from typing import Any

import pytest

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.core.database import session
from diracx_tasks.pilots import mapping
from diracx_tasks.pilots.tables import Pilot, PilotJob
from tests.api.caller import Api
from tests.builders import a_user
from tests.integration.upstream import either, migrated

__all__ = ["migrated"]
CAROL = a_user("carol", vo="local", properties=(SERVICE,))
DAVE = a_user("dave", vo="local")
REGISTER, PATCH, SEARCH, SUMMARY = (f"/api/pilots/{one}" for one in ("", "metadata", "search", "summary"))


@pytest.fixture(params=["sqlite", "mariadb"])
def everywhere(request: pytest.FixtureRequest) -> Iterator[Api]:
    """The API on either database, without a pilot."""
    with either(request, PilotJob, Pilot) as found:
        yield found


def enrol(api: Api, stamp: str, *, by: Any = CAROL, **stated: Any) -> Any:
    return api.post(REGISTER, {"pilot_stamp": stamp, "vo": by.vo, **stated}, by=by)


def found(api: Api, *conditions: dict[str, Any], by: Any = DAVE, **body: Any) -> Any:
    answer = api.post(SEARCH, {"search": list(conditions), **body}, by=by)
    assert answer.status_code in (200, 206), answer.text
    return answer.json()


def stamps(api: Api, *conditions: dict[str, Any], by: Any = DAVE) -> list[str]:
    return [one["PilotStamp"] for one in found(api, *conditions, by=by)]


def about(parameter: str, operator: str, value: Any) -> dict[str, Any]:
    name = "values" if operator in ("in", "not in") else "value"
    return {"parameter": parameter, "operator": operator, name: value}


def put(vo: str, *made: str, jobs: tuple[int, ...] = ()) -> None:
    """Pilots of any VO, past the API."""
    with session() as db:
        for stamp in made:
            db.add(Pilot(stamp=stamp, vo=vo))
        db.flush()
        for stamp in made:
            mapping.note(db, vo, {stamp: jobs})
