"""Why a job waits, what waits, which nodes ask and what holds jobs back, over HTTP; on SQLite and MariaDB."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.core.redis import redis
from diracx_tasks.jobs.states import Status
from diracx_tasks.matching import classes, keys
from tests.api.caller import Api
from tests.api.stores import ON_MARIADB, installation, migrated
from tests.builders import VO, Installation, a_job, a_pilot, a_user, an_administrator
from tests.unit.matching.asking import a_node, asked, ban, queued, recount
from tests.unit.matching.ends import configured, held

__all__ = ["installation", "migrated"]
BOB = a_user("bob")
ON_SQLITE = pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
LIMITED = """Operations:
  lhcb:
    JobScheduling:
      RunningLimit: {CERN: {JobType: {User: 2}, Owner: {bob: 7}}}
      MatchingDelay: {RAL: {JobType: {User: 30}, Burst: {JobType: {User: 4}}}}
"""


def rows(api: Api, what: str, **options: Any) -> Any:
    answer = api.get(f"/api/matching/{what}", **options)
    assert answer.status_code in (200, 206), answer.text
    return answer.json()


def test_why_is_told_in_words_and_in_values(api: Api) -> None:
    first, job_id = queued(2, requirements={"cores": 128})
    asked(a_node())
    found = api.get(f"/api/jobs/{job_id}/why").json()

    assert (found["job_id"], found["status"], found["ahead"]) == (job_id, "Waiting", None)
    assert "It asks for 128 cores; no node of the last hour has more than 64 (CERN)." in found["reasons"]
    assert found["unmet"] == [{"requirement": "cores", "wanted": 128, "nearest": 64, "site": "CERN"}]
    assert found["advice"] and found["last_asked_seconds"] is None
    asked(a_node(cores=128))
    found = api.get(f"/api/jobs/{job_id}/why").json()
    assert found["ahead"] == {"same": 1, "is_more": False, "sooner": 0, "competing": 0, "classes": 0}
    assert found["unmet"] == [] and found["last_asked_seconds"] < 60
    assert api.get(f"/api/jobs/{first}/why", by=a_user(vo="belle")).status_code == 404


@ON_MARIADB
def test_who_holds_a_limit_is_counted_exactly(api: Api, installation: Installation) -> None:
    with configured(installation, LIMITED):
        held(2, owner="bob"), held(1, owner="bob", job_type="user")
        (job_id,) = queued()
        recount()
        asked(a_node())
        reasons = api.get(f"/api/jobs/{job_id}/why").json()["reasons"]

    assert "CERN is full of jobs of the type User: 2 run, 2 may (bob 2)." in reasons


@ON_SQLITE
def test_a_running_job_says_where(api: Api, db: Session) -> None:
    job_id = a_job(db, Status.RUNNING)
    db.commit()
    found = api.get(f"/api/jobs/{job_id}/why").json()

    assert found["reasons"][0].startswith("It runs: pilot stamp-1 at LCG.CERN.ch on node")


def test_classes_are_listed_with_what_they_ask_and_when_a_node_asked(api: Api) -> None:
    jobs = queued(3, requirements={"cores": 8, "tags": ["gpu"]})
    queued(1, owner="bob", requirements={"sites": ["RAL"], "alternatives": [{}, {"cores": 2}]})
    asked(a_node(tags=["gpu"]))
    most, other = rows(api, "classes")

    assert (most["jobs"], most["is_exact"], most["oldest_job"]) == (3, True, jobs[0])
    assert (most["owner"], most["group"], most["job_type"], most["priority"]) == ("alice", "user", "User", 5)
    assert most["asks"] == ["8 cores; the tag gpu"]
    assert most["requirements"] == [{"cores": 8, "ram": 256, "tags": "gpu"}]
    assert most["last_asked_seconds"] < 60 and most["blocked"] == []
    assert sorted(other["asks"]) == ["the site RAL", "the site RAL; 2 cores"]
    assert other["last_asked_seconds"] is None and other["owner"] == "bob"


@ON_SQLITE
def test_a_jdl_job_without_pilots_for_it_is_told_which_it_needs(api: Api) -> None:
    (job_id,) = queued(1, requirements={"tags": ["payload:jdl"]})
    asked(a_node(tags=["gpu"]))
    found = api.get(f"/api/jobs/{job_id}/why").json()

    wanted = "a pilot that runs jobs described in JDL (the tag payload:jdl)"
    assert f"It asks for {wanted}; no node offers that." in found["reasons"]
    assert "Have such pilots started: diracx-pilot is one." in found["advice"]


@ON_SQLITE
def test_classes_come_page_by_page(api: Api) -> None:
    queued(2, requirements={"cores": 2})
    queued(1)
    first = api.get("/api/matching/classes", params={"per_page": 1})
    second = api.get("/api/matching/classes", params={"per_page": 1, "page": 2})

    assert (first.status_code, first.headers["Content-Range"]) == (206, "classes 0-0/2")
    assert (second.status_code, second.headers["Content-Range"]) == (206, "classes 1-1/2")
    assert [first.json()[0]["jobs"], second.json()[0]["jobs"]] == [2, 1]
    assert api.get("/api/matching/classes", params={"per_page": 1, "page": 3}).status_code == 416
    assert api.get("/api/matching/classes").status_code == 200


@ON_SQLITE
def test_what_was_killed_is_not_counted_unless_there_is_very_much(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = queued(4)
    api.post(f"/api/jobs/{jobs[2]}/kill")
    assert [(one["jobs"], one["is_exact"]) for one in rows(api, "classes")] == [(3, True)]
    monkeypatch.setattr(classes, "EXACT", 2)
    assert [(one["jobs"], one["is_exact"]) for one in rows(api, "classes")] == [(4, False)]


@ON_SQLITE
def test_who_sees_only_his_own_jobs_sees_only_his_own_classes_and_limits(
    api: Api, installation: Installation
) -> None:
    text = LIMITED + "    Services: {JobMonitoring: {GlobalJobsInfo: false}}\n"
    with configured(installation, text):
        queued(1)
        queued(1, owner="bob")
        asked(a_node(owner="bob"))
        assert [one["owner"] for one in rows(api, "classes")] == ["alice"]
        assert len(rows(api, "classes", by=an_administrator())) == 2
        assert rows(api, "nodes") == [] and len(rows(api, "nodes", by=BOB)) == 1
        assert "bob" not in [one["value"] for one in rows(api, "limits")]
        assert "bob" in [one["value"] for one in rows(api, "limits", by=BOB)]


@ON_SQLITE
def test_a_class_says_what_holds_it_back_wherever_nodes_fit(api: Api, installation: Installation) -> None:
    with configured(installation, LIMITED):
        held(2)
        queued(1)
        recount()
        asked(a_node())
        assert rows(api, "classes")[0]["blocked"] == ["CERN is full of jobs of the type User: 2 run, 2 may"]
        asked(a_node(site="PIC"))
        assert rows(api, "classes")[0]["blocked"] == []
        ban("PIC")
        assert "PIC is banned: power cut" in rows(api, "classes")[0]["blocked"]


def test_nodes_are_listed_with_what_they_offer(api: Api) -> None:
    asked(a_node(tags=["gpu"], gpus=2, capability=806, wall_time=3600, groups=["prod"]))
    ban("CERN")
    (one,) = rows(api, "nodes")

    assert (one["site"], one["ce"], one["tags"], one["only"]) == (
        "CERN",
        "ce1",
        ["MultiProcessor", "gpu"],
        {"group": ["prod"]},
    )
    assert one["values"] == {
        "platform": "el8",
        "cores": 64,
        "ram": 256_000,
        "gpus": 2,
        "capability": "8.6",
        "wall_time": 3600,
    }
    assert one["offers"].startswith(
        "64 cores; 256000 MB of RAM; 1 h of wall time; compute capability 8.6; 2 GPUs; el8"
    )
    assert one["banned"] == "power cut" and one["last_asked_seconds"] < 60
    assert rows(api, "nodes", by=a_user(vo="belle")) == []


@ON_SQLITE
def test_limits_say_how_far_they_are_used_up(api: Api, installation: Installation) -> None:
    with configured(installation, LIMITED):
        assert [one["running"] for one in rows(api, "limits") if one["kind"] == "limit"] == [None, None]
        held(2)
        recount()
        found = rows(api, "limits")

    assert [(one["scope"], one["value"], one["running"], one["most"], one["is_full"]) for one in found] == [
        ("CERN", "User", 2, 2, True),
        ("CERN", "bob", 0, 7, False),
        ("RAL", "User", None, None, False),
    ]
    assert (found[2]["kind"], found[2]["seconds"], found[2]["burst"]) == ("delay", 30.0, 4)


@ON_SQLITE
def test_what_is_slowed_is_seen_and_released_by_a_service_administrator(api: Api) -> None:
    redis().hset(f"{keys.prefix(VO)}slow", mapping={"CERN/n1": "120", "CERN": "45"})
    operator = a_user("carol", properties=(SERVICE,))
    path, body = "/api/matching/health/release", {"site": "CERN", "node": "n1"}

    assert [(one["node"], one["seconds"]) for one in rows(api, "health")] == [("n1", 120.0), ("", 45.0)]
    assert rows(api, "health", by=operator) and rows(api, "health", by=a_user(vo="belle")) == []
    for other in (a_user(), an_administrator(), a_pilot()):
        assert api.post(path, body, by=other).status_code == 403
    stranger = a_user("carol", vo="belle", properties=(SERVICE,))
    assert api.post(path, body, by=stranger).json() == {"is_released": False}
    assert api.post(path, body, by=operator).json() == {"is_released": True}
    assert [one["node"] for one in rows(api, "health")] == [""]
    assert api.post(path, {"site": "CERN"}, by=operator).json() == {"is_released": True}
    assert rows(api, "health") == []


@ON_SQLITE
def test_without_redis_what_waits_is_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from diracx_tasks.core.settings import settings

    monkeypatch.setenv("DIRACX_REDIS_URL", "redis://127.0.0.1:1/0")
    settings.cache_clear()
    for what in ("classes", "nodes"):
        answer = api.get(f"/api/matching/{what}")
        assert answer.status_code == 503 and "the matcher's Redis does not answer" in answer.text
