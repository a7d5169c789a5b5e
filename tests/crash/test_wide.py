"""A wide scatter whose coordinator is killed on the way: each element is made once and ends once."""

import os

import pytest

from tests.bench.cwl_wide import wide

ELEMENTS = int(os.environ.get("WIDE_ELEMENTS", "2000"))


@pytest.mark.crash
@pytest.mark.timeout(600)
@pytest.mark.parametrize("database", ["sqlite", pytest.param("mariadb", marks=pytest.mark.integration)])
def test_a_killed_coordinator_costs_nothing(database: str) -> None:
    # `wide` itself looks at the numbers of slots and jobs, and at the workflow's end.
    found = wide(database, ELEMENTS, kills=3)
    assert found.kills == 6
