"""How often a job begins anew when its pilots are lost: as the configuration says, else the setting."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.core.database import session
from diracx_tasks.jobs import optimize, recover
from diracx_tasks.jobs.states import Status
from diracx_tasks.matching import queue
from tests.api.caller import Api
from tests.api.changes import a_stored_job, status_of, the
from tests.api.configured import configured
from tests.builders import VO, Installation, claim
from tests.unit.core.documents import SMALL

AT_ONCE = "JobScheduling: {RescheduleDelays: []}"
RULE = "Operations: {{{vo}: {{Services: {{JobScheduling: {{MaxRescheduling: {most}}}}}, {at_once}}}}}\n"
SILENT = f"Operations: {{Defaults: {{{AT_ONCE}}}}}\n"
MANY = 10


@contextmanager
def stating(installation: Installation, rule: str, setting: str) -> Iterator[None]:
    """A configuration with this rule, and this DIRACX_MAX_RESCHEDULES."""
    file = installation.folder / "configuration.yml"
    file.write_text(SMALL + rule)
    with configured(installation, str(file), DIRACX_MAX_RESCHEDULES=setting):
        yield


def lose(job_id: int, number: int) -> None:
    """The job's pilot ends; if the job waits for another one, that gets it."""
    with session() as db:
        assert recover.pilots_ended(db, VO, [f"stamp-{number}"]) == 1
    with session() as db:
        optimize.optimize(db)
        queue.remove(db, [job_id])
        claim(db, job_id, pilot=f"stamp-{number + 1}")


def times(api: Api, job_id: int) -> int:
    """How often the job, which stamp-1 has, begins anew before it fails."""
    for number in range(MANY):
        lose(job_id, number + 1)
        if status_of(api, job_id) == "Failed":
            return number
    return MANY


@pytest.mark.parametrize("vo, most", [("Defaults", 0), ("Defaults", 5), (VO, 0), (VO, 1), (VO, 5)])
def test_how_often_a_job_of_lost_pilots_begins_anew_is_configured(
    api: Api, db: Session, installation: Installation, vo: str, most: int
) -> None:
    job_id = a_stored_job(db, Status.RUNNING)
    with stating(installation, RULE.format(vo=vo, most=most, at_once=AT_ONCE), "2"):
        assert times(api, job_id) == most
        job = the(api, job_id)
    assert (job["MinorStatus"], job["RescheduleCounter"]) == ("Maximum of reschedulings reached", most)


@pytest.mark.parametrize("most", [0, 2])
def test_where_the_configuration_is_silent_the_setting_says_how_often(
    api: Api, db: Session, installation: Installation, most: int
) -> None:
    lost, asked = a_stored_job(db, Status.RUNNING), a_stored_job(db, Status.WAITING)
    body = {"job_ids": [asked]}
    with stating(installation, SILENT, str(most)):
        codes = [api.post("/api/jobs/reschedule", body).status_code for _ in range(most + 1)]
        assert times(api, lost) == most
    assert codes == [200] * most + [400]
