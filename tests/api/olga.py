"""A service administrator, and her requests about tasks."""

from typing import Any

import httpx2
import pytest

from tests.api.caller import Api
from tests.builders import a_user

OLGA = a_user("olga", vo="operations", properties=("ServiceAdministrator",))


class Tasks:
    """Olga's requests below /api/tasks."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def get(self, path: str = "", **query: Any) -> Any:
        """The answer to a GET that is good."""
        answer = self.ask("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """The answer, whatever it is."""
        return self.api.ask(method, f"/api/tasks{path}", by=OLGA, **options)

    def keys(self, **query: Any) -> list[str]:
        """The keys of a list."""
        return [row["key"] for row in self.get(**query)]


@pytest.fixture
def tasks(api: Api) -> Tasks:
    """Olga's requests."""
    return Tasks(api)
