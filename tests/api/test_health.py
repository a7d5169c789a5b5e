"""Health, metrics, and what every answer has in common."""

from sqlalchemy.orm import Session

from diracx_tasks.jobs.states import Status
from tests.api.caller import Api
from tests.builders import a_job


def test_a_fresh_installation_lives_is_ready_and_has_started(api: Api) -> None:
    for what in ("live", "ready", "startup"):
        assert api.get(f"/api/health/{what}", by=None).status_code == 200


def test_metrics_count_jobs_by_status_and_name_nobody(api: Api, db: Session) -> None:
    a_job(db, Status.DONE)
    a_job(db, Status.RUNNING)
    db.commit()
    text = api.get("/metrics", by=None).text
    assert 'diracx_jobs{status="Done"} 1.0' in text
    assert 'diracx_jobs{status="Running"} 1.0' in text
    assert "alice" not in text and "lhcb" not in text


def test_requests_are_counted_by_route_and_not_by_address(api: Api) -> None:
    api.get("/api/jobs/4711")
    api.get("/nothing/here")
    text = api.get("/metrics", by=None).text
    assert 'route="/api/jobs/{job_id}"' in text
    assert "4711" not in text and "/nothing/here" not in text


def test_an_unknown_address_is_404_and_a_wrong_method_405(api: Api) -> None:
    unknown, wrong = api.get("/api/nothing"), api.ask("DELETE", "/api/workflows")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Not Found"})
    assert (wrong.status_code, wrong.json()) == (405, {"detail": "Method Not Allowed"})
