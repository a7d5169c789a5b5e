"""Health, metrics, and what every answer has in common."""

from typing import Any

from celery import current_app
from sqlalchemy.orm import Session

from diracx_tasks.core.database import now, utc_now
from diracx_tasks.core.redis import redis
from diracx_tasks.engine import dead_letters, history, schedules
from diracx_tasks.engine.tables import Schedule
from diracx_tasks.jobs.states import Status
from tests.api.caller import Api
from tests.builders import Installation, a_job, a_workflow, environment


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
    api.get("/api/jobs/471104711")
    api.get("/nothing/here")
    text = api.get("/metrics", by=None).text
    assert 'route="/api/jobs/{job_id}"' in text
    assert "471104711" not in text and "/nothing/here" not in text


def test_an_unknown_address_is_404_and_a_wrong_method_405(api: Api) -> None:
    unknown, wrong = api.get("/api/nothing"), api.ask("DELETE", "/api/workflows")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Not Found"})
    assert (wrong.status_code, wrong.json()) == (405, {"detail": "Method Not Allowed"})


def test_metrics_count_what_waits_what_died_and_how_late_the_schedule_is(api: Api, db: Session) -> None:
    text = api.get("/metrics", by=None).text
    assert "diracx_outbox 0.0" in text and "diracx_outbox_oldest_seconds 0.0" in text
    assert "diracx_schedule_lag_seconds 0.0" in text
    assert "diracx_dead_letters{" not in text and "diracx_beat_leader{" not in text
    a_workflow(db)
    schedules.synchronize(db)
    db.get_one(Schedule, "jobs.optimize").next_at = utc_now(-3600)
    schedules.lead(db, "beat-1")
    for number in (1, 2):
        found: dict[str, Any] = {"key": f"workflow-{number}.advance", "task": "workflows.advance"}
        found |= {"arguments": {}, "tries": 6, "enqueued_by": "alice@lhcb", "parent": None}
        dead_letters.bury(db, found, since=now(), error="no luck")
    db.commit()
    text = api.get("/metrics", by=None).text
    assert "diracx_outbox 1.0" in text
    assert value(text, "diracx_schedule_lag_seconds") >= 3600
    assert 'diracx_dead_letters{task="workflows.advance"} 2.0' in text
    assert 'diracx_beat_leader{holder="beat-1"} 1.0' in text
    assert "alice" not in text
    schedules.resign(db, "beat-1")
    db.commit()
    assert "diracx_beat_leader{" not in api.get("/metrics", by=None).text


def test_metrics_say_how_long_each_queue_is_and_for_how_long_its_next_message_waits(api: Api) -> None:
    current_app.tasks["workflows.advance"].apply_async(
        kwargs={"workflow_id": 1}, headers={"sent": now().timestamp() - 86400 * 2}
    )
    text = api.get("/metrics", by=None).text
    assert 'diracx_queue_messages{queue="realtime.medium"} 1.0' in text
    assert value(text, 'diracx_queue_oldest_seconds{queue="realtime.medium"}') >= 86400
    assert 'diracx_queue_messages{queue="normal.small"} 0.0' in text
    assert 'diracx_queue_oldest_seconds{queue="normal.small"} 0.0' in text


def test_metrics_have_what_all_workers_counted_of_their_runs(api: Api) -> None:
    counted = {"runs|x.y|Done": 3, "runs|x.y|Failed": 1, "seconds|x.y|sum": 41.5}
    counted |= {"bucket|x.y|0.1": 3, "bucket|x.y|100.0": 1}
    for name, count in counted.items():
        redis().hset(history.COUNTERS, name, str(count))
    text = api.get("/metrics", by=None).text
    assert 'diracx_task_runs_total{outcome="Done",task="x.y"} 3.0' in text
    assert 'diracx_task_runs_total{outcome="Failed",task="x.y"} 1.0' in text
    assert 'diracx_task_seconds_bucket{le="0.1",task="x.y"} 3.0' in text
    assert 'diracx_task_seconds_bucket{le="+Inf",task="x.y"} 4.0' in text
    assert 'diracx_task_seconds_count{task="x.y"} 4.0' in text
    assert 'diracx_task_seconds_sum{task="x.y"} 41.5' in text


def test_without_redis_and_broker_the_rest_is_still_measured(
    api: Api, db: Session, installation: Installation
) -> None:
    a_workflow(db)
    db.commit()
    away = "redis://127.0.0.1:1/0"
    with environment(DIRACX_DATA=str(installation.folder), DIRACX_REDIS_URL=away):
        text = api.get("/metrics", by=None).text
    assert "diracx_outbox 1.0" in text
    assert "diracx_queue_messages{" not in text and "diracx_task_runs_total{" not in text


def value(text: str, name: str) -> float:
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.rpartition(" ")[2])
