"""Summaries end: too many combinations are refused, and only answers that were dear to find are kept."""

from typing import Any

import pytest

from diracx_tasks.core import remembered, search
from tests.api.caller import Api
from tests.api.searches import jobs
from tests.api.stores import installation, migrated

__all__ = ["installation", "jobs", "migrated"]
PATH = "/api/jobs/summary"


def kept() -> list[Any]:
    return [one.value for one in remembered._KEPT.values()]


def count(api: Api) -> Any:
    return api.post(PATH, {"grouping": ["JobName"], "search": []})


def test_more_combinations_than_a_summary_may_have_are_refused(
    api: Api, jobs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST_GROUPS", len(jobs) - 1)
    answer = count(api)
    words = {"detail": f"there are more than {len(jobs) - 1} combinations of JobName"}
    assert (answer.status_code, answer.json()) == (400, words)
    assert api.post(PATH, {"grouping": ["Owner"], "search": []}).status_code == 200
    monkeypatch.setattr(search, "MOST_GROUPS", len(jobs))
    whole = count(api)
    assert (whole.status_code, len(whole.json())) == (200, len(jobs))


def test_of_too_many_combinations_no_more_are_fetched_than_it_takes_to_know(
    api: Api, jobs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "CHEAP", 0)
    monkeypatch.setattr(search, "MOST_GROUPS", 2)
    assert count(api).status_code == 400
    assert [len(rows) for rows in kept()] == [3]


def test_an_answer_that_was_cheap_to_find_is_not_kept(api: Api, jobs: list[int]) -> None:
    assert len(count(api).json()) == len(jobs)
    assert kept() == [None]


def test_an_answer_that_is_dear_no_more_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "LONGEST", 0.0)
    key = object()
    is_dear = [True, False, False]

    def find() -> Any:
        return remembered.remembered(key, lambda: "rows", is_dear=lambda _: is_dear.pop(0))

    assert (find(), remembered._KEPT[key].value) == ("rows", "rows")
    assert (find(), remembered._KEPT[key].value) == ("rows", None)
    assert find() == "rows"
