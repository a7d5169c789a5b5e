"""Cursors that hold numbers which no row can have are refused, on every database in the same words."""

import base64
from typing import Any

import orjson
import pytest

from tests.api.caller import Api
from tests.api.searches import ask, jobs
from tests.api.stores import installation, migrated

__all__ = ["installation", "jobs", "migrated"]


def cursor(*values: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode()


@pytest.mark.parametrize("value", [1e300, -1e300, 1e19, 2**64 - 1, 2**63, "9" * 30])
def test_a_cursor_with_a_number_that_no_row_has_is_400(api: Api, jobs: list[int], value: Any) -> None:
    answer = ask(api, query={"cursor": cursor(value)})
    assert answer.status_code == 400, answer.text
    assert "this cursor is not one of this search" in answer.json()["detail"]


@pytest.mark.parametrize("value", [0, -5, 1.5, 2**40, "7"])
def test_a_cursor_with_a_number_that_a_row_might_have_is_good(api: Api, jobs: list[int], value: Any) -> None:
    assert ask(api, query={"cursor": cursor(value)}).status_code in (200, 206)
