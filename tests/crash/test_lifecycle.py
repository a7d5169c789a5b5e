"""Whole lives of jobs while reports are lost, doubled and late, and everything is killed once on the way."""

import os
from pathlib import Path

import pytest

from tests.bench.lifecycle import live
from tests.bench.lifecycle_system import Plan

pytestmark = [pytest.mark.crash, pytest.mark.integration, pytest.mark.timeout(600)]
JOBS = int(os.environ.get("LIFECYCLE_JOBS", "300"))
SEED = int(os.environ.get("LIFECYCLE_SEED", "1"))
PARTS = 4
IMPATIENT = {
    "DIRACX_HEARTBEAT_SECONDS": "0.5",
    "DIRACX_SILENT_SECONDS": "3",
    "DIRACX_STALLED_SECONDS": "3",
    "DIRACX_MATCHED_SECONDS": "2",
    "DIRACX_LEASE_SECONDS": "2",
}


def test_jobs_end_as_the_model_says_whatever_is_lost_on_the_way(tmp_path: Path) -> None:
    plan = Plan(JOBS, pilots=10, together=10, seed=SEED, faults=True, kills=PARTS, stated=IMPATIENT)
    model = plan.model
    fates = [model.fate(job_id) for job_id in range(1, JOBS + 1)]
    # Else this would prove little.
    assert {fate.status for fate in fates} == {"Done", "Failed", "Killed"}
    assert {fate.losses for fate in fates} == {0, 1, model.reschedules + 1}
    found = live(plan, tmp_path, patience=300)
    assert found.faults == ["worker", "redis", "api", "pilots"]
    assert not found.wrong, "\n".join(found.wrong)
