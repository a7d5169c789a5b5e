"""Submission of job descriptions: one, many, parametric ones, each request once, and what is refused."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from celery import current_app
from sqlalchemy import func, select

from diracx_tasks.core.database import reading
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.jobs.tables import Job
from tests.api.caller import ALICE, Api
from tests.api.changes import events, the
from tests.api.stores import installation, migrated
from tests.builders import a_pilot, a_user, an_administrator

__all__ = ["installation", "migrated"]
PATH = "/api/jobs/jdl"
SIMPLE = 'Executable = "echo"; Arguments = "hello"; JobName = "simple"; JobGroup = "g1";'
WIDE = 'Executable = "echo"; Arguments = "%s"; JobName = "job-%n"; Parameters = {};'


def submit(api: Api, *texts: str, **options: Any) -> Any:
    return api.post(PATH, list(texts), **options)


def submitted(api: Api, *texts: str, **options: Any) -> list[int]:
    answer = submit(api, *texts, **options)
    assert answer.status_code == 201, answer.text
    return [one["JobID"] for one in answer.json()]


def count() -> int:
    with reading() as db:
        return db.scalar(select(func.count()).select_from(Job)) or 0


def asked() -> list[str]:
    """The keys of the tasks that are asked for."""
    with reading() as db:
        return list(db.scalars(select(Outbox.key).order_by(Outbox.key)))


def run(task: str, key: str, **arguments: Any) -> Any:
    """What a worker does with a message."""
    return current_app.tasks[task].apply(kwargs=arguments, task_id=key, headers={"outbox": key})


def test_a_job_is_accepted_stored_and_asks_to_be_optimized(api: Api) -> None:
    answer = submit(api, SIMPLE)
    assert answer.status_code == 201
    (found,) = answer.json()
    assert found["TimeStamp"].endswith("Z")
    assert {**found, "JobID": 0, "TimeStamp": ""} == {
        "JobID": 0,
        "Status": "Received",
        "MinorStatus": "Job accepted",
        "TimeStamp": "",
    }
    job = the(api, found["JobID"])
    names = ("Owner", "OwnerGroup", "VO", "JobName", "JobGroup", "JobType", "Site", "VerifiedFlag", "Attempt")
    values = ("alice", "user", "lhcb", "simple", "g1", "User", "ANY", True, 1)
    assert tuple(job[name] for name in names) == values
    assert events(found["JobID"]) == [("Received", "Job accepted", "Unknown", "JobManager")]
    assert asked() == ["jobs.optimize"]


def test_the_description_is_kept_as_it_was_sent_and_as_it_runs(api: Api) -> None:
    (job_id,) = submitted(api, SIMPLE)
    found = api.get(f"/api/jobs/{job_id}/jdl").json()
    assert found["original"] == SIMPLE
    for part in (f"JobID = {job_id};", 'Owner = "alice";', 'VirtualOrganization = "lhcb";'):
        assert part in found["jdl"]


def test_many_jobs_are_accepted_in_the_order_in_which_they_were_sent(api: Api) -> None:
    texts = [f'Executable = "echo"; JobName = "job-{number}"; Arguments = "%j";' for number in range(300)]
    numbers = submitted(api, *texts)
    assert numbers == sorted(numbers) and len(set(numbers)) == 300
    search = {"parameters": ["JobID", "JobName"], "search": []}
    rows = api.post("/api/jobs/search", search, params={"per_page": 10000}).json()
    assert {row["JobID"]: row["JobName"] for row in rows} == {
        job_id: f"job-{place}" for place, job_id in enumerate(numbers)
    }
    for place in (0, 150, 299):
        jdl = api.get(f"/api/jobs/{numbers[place]}/jdl").json()
        assert jdl["original"] == texts[place]
        assert f'Arguments = "{numbers[place]}";' in jdl["jdl"]
        assert f"JobID = {numbers[place]};" in jdl["jdl"]


def test_long_descriptions_in_bulk_keep_their_numbers(api: Api) -> None:
    texts = [f'Executable = "echo"; JobName = "n{n}"; Arguments = "{"x" * 40_000}";' for n in range(12)]
    for place, job_id in enumerate(submitted(api, *texts)):
        assert the(api, job_id)["JobName"] == f"n{place}"
        jdl = api.get(f"/api/jobs/{job_id}/jdl").json()
        assert jdl["original"] == texts[place] and f"JobID = {job_id};" in jdl["jdl"]


@pytest.mark.parametrize("width", [1, 2, 999, 1000])
def test_a_parametric_job_is_as_many_jobs_as_it_has_parameters(api: Api, width: int) -> None:
    text = WIDE.format("{" + ",".join(f'"p{number}"' for number in range(width)) + "}")
    answer = submit(api, text).json()
    assert len(answer) == count() == width
    assert {one["Status"] for one in answer} == {"Received"}
    last = width - 1
    assert the(api, answer[-1]["JobID"])["JobName"] == f"job-{str(last).zfill(len(str(last)))}"
    assert f'Arguments = "p{last}";' in api.get(f"/api/jobs/{answer[-1]['JobID']}/jdl").json()["jdl"]


def test_a_wide_parametric_job_is_expanded_by_a_task(api: Api) -> None:
    answer = submit(api, WIDE.format(2001))
    assert answer.status_code == 201
    (first,) = answer.json()
    assert (first["Status"], first["MinorStatus"]) == ("Submitting", "Parametric job is expanded")
    job_id, key = first["JobID"], f"job-{first['JobID']}.expand"
    assert asked() == [key]
    assert the(api, job_id)["Parametric"] == {"total": 2001, "made": 1}
    run("jobs.expand", key, job_id=job_id)
    assert count() == 2001
    job = the(api, job_id)
    assert (job["Status"], job["Parametric"]) == ("Received", {"total": 2001, "made": 2001})
    assert asked() == ["jobs.optimize"]
    names = api.post("/api/jobs/search", {"parameters": ["JobName"]}, params={"per_page": 10000}).json()
    assert sorted(row["JobName"] for row in names) == [f"job-{number:04}" for number in range(2001)]
    run("jobs.expand", key, job_id=job_id)
    assert count() == 2001


def test_a_wide_job_that_is_killed_before_it_is_expanded_stays_alone(api: Api) -> None:
    ((job_id),) = submitted(api, WIDE.format(1001))
    assert api.post(f"/api/jobs/{job_id}/kill").json()["status"] == "Killed"
    run("jobs.expand", f"job-{job_id}.expand", job_id=job_id)
    assert (count(), the(api, job_id)["Status"]) == (1, "Killed")


@pytest.mark.parametrize("header", ["Idempotency-Key", "x-ms-client-request-id"])
@pytest.mark.parametrize(
    "texts", [[SIMPLE], [SIMPLE] * 30, [WIDE.format(3)], [WIDE.format(1500)]], ids=range(4)
)
def test_the_same_request_again_is_answered_as_the_first_time(
    api: Api, header: str, texts: list[str]
) -> None:
    headers = {header: "0190f3c2-7c1e-7000-8000-0123456789ab"}
    first = submit(api, *texts, headers=headers)
    made = count()
    for _ in range(2):
        again = submit(api, *texts, headers=headers)
        assert (again.status_code, again.json()) == (201, first.json())
    assert count() == made
    other = submit(api, 'Executable = "other";', headers=headers)
    assert (other.status_code, "used for another submission" in other.json()["detail"]) == (409, True)
    assert count() == made


def test_the_idempotency_key_counts_before_the_clients_own(api: Api) -> None:
    both = [{"Idempotency-Key": "a", "x-ms-client-request-id": str(number)} for number in range(2)]
    assert len({submitted(api, SIMPLE, headers=headers)[0] for headers in both}) == 1


def test_a_key_is_its_users_own_and_no_key_is_none(api: Api) -> None:
    headers = {"Idempotency-Key": "key"}
    people = [ALICE, a_user("bob"), a_user(vo="belle")]
    numbers = [submitted(api, SIMPLE, headers=headers, by=who)[0] for who in people]
    numbers += submitted(api, SIMPLE, headers={"Idempotency-Key": "Key"})
    numbers += submitted(api, SIMPLE) + submitted(api, SIMPLE)
    assert len(set(numbers)) == 6
    assert submit(api, SIMPLE, headers={"Idempotency-Key": "x" * 129}).status_code == 422


@pytest.mark.parametrize("texts", [[SIMPLE], [SIMPLE] * 25], ids=["few", "many"])
def test_the_same_request_sixteen_times_at_once_is_one_submission(api: Api, texts: list[str]) -> None:
    headers = {"Idempotency-Key": "at once"}
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: submit(api, *texts, headers=headers), range(16)))
    assert [answer.status_code for answer in answers] == [201] * 16
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert count() == len(texts)


def test_different_requests_at_once_are_each_answered_with_their_own_jobs(api: Api) -> None:
    def one(number: int) -> tuple[str, list[int]]:
        name = f"of-{number}"
        who = (ALICE, a_user("bob"))[number % 2]
        text = "(" if number % 7 == 3 else f'Executable = "echo"; JobName = "{name}"; Arguments = "%j";'
        answer = submit(api, *[text] * (1 + number % 3), by=who)
        assert answer.status_code == (400 if text == "(" else 201), answer.text
        return name, [] if text == "(" else [job["JobID"] for job in answer.json()]

    with ThreadPoolExecutor(24) as threads:
        found = list(threads.map(one, range(48)))
    assert count() == sum(len(numbers) for _, numbers in found)
    for name, numbers in found:
        for job_id in numbers:
            job = the(api, job_id)
            assert (job["JobName"], job["Owner"]) == (name, ("alice", "bob")[int(name[3:]) % 2])
            assert f"JobID = {job_id};" in api.get(f"/api/jobs/{job_id}/jdl").json()["jdl"]


BROKEN = {
    "": "",
    "   ": "",
    "[": "",
    "]]][[[": "",
    'Arguments = "x";': "Executable is missing",
    'Executable = "echo"; Arguments = "unterminated;': "",
    'Executable = "echo"; CPUTime = -5;': "CPUTime: -5 is no number of seconds",
    'Executable = "echo"; CPUTime = "long";': "CPUTime: 'long' is not a whole number",
    'Executable = "echo"; JobType = "Nonsense";': "JobType: Nonsense is not allowed",
    'Executable = "echo"; VirtualOrganization = "belle";': "VirtualOrganization: belle is not yours",
    f'Executable = "echo"; JobName = "{"x" * 129}";': "JobName: 129 characters",
    'Executable = "ec\0ho";': "",
    "Executable = " + "{" * 10_000: "",
    'Executable = "echo"; Parameters = 0;': "Illegal number of job parameters 0",
    'Executable = "echo"; Parameters = -1;': "Illegal number of job parameters -1",
    'Executable = "echo"; Parameters = {1,2}; Parameters.X = {1};': "Different length of parameter vectors",
    'Executable = "echo"; Parameters = 1000000;': "cannot submit more than 10000 jobs",
}


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_description_is_told_why_and_stores_nothing(api: Api, text: str) -> None:
    answer = submit(api, text)
    assert answer.status_code == 400, answer.text
    assert BROKEN[text] in answer.json()["detail"]
    assert answer.json()["detail"]
    assert count() == 0


def test_one_broken_description_among_good_ones_is_named_and_none_is_accepted(api: Api) -> None:
    answer = submit(api, SIMPLE, SIMPLE, "Executable = ;;", SIMPLE)
    assert (answer.status_code, answer.json()["detail"].startswith("description 3: ")) == (400, True)
    answer = submit(api, SIMPLE, 'Executable = "echo"; CPUTime = -5;')
    assert (answer.status_code, answer.json()["detail"].startswith("description 2: ")) == (400, True)
    answer = submit(api, SIMPLE, WIDE.format(3))
    words = "You cannot submit parametric jobs in a bulk fashion"
    assert (answer.status_code, answer.json()["detail"]) == (400, words)
    assert count() == 0


def test_no_description_at_all_is_400(api: Api) -> None:
    answer = submit(api)
    assert (answer.status_code, "JDL syntax error" in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    "body", [None, 7, {}, [7], [None], [["x"]], "x", ["x" * ((1 << 20) + 1)], ["\ud800"]], ids=range(9)
)
def test_what_is_no_list_of_descriptions_is_422(api: Api, body: Any) -> None:
    assert api.post(PATH, body).status_code == 422


def test_more_than_ten_thousand_jobs_in_a_call_are_too_many(api: Api) -> None:
    answer = submit(api, *["x"] * 10_001)
    words = "Normal user cannot submit more than 10000 jobs at once"
    assert (answer.status_code, answer.json()["detail"]) == (400, words)


def test_only_normal_users_submit(api: Api) -> None:
    for who in (an_administrator(), a_pilot()):
        assert submit(api, SIMPLE, by=who).status_code == 403
    assert count() == 0


def test_what_a_description_says_of_its_owner_does_not_count(api: Api) -> None:
    (job_id,) = submitted(api, SIMPLE + 'Owner = "root"; OwnerGroup = "admins"; OwnerDN = "/CN=root";')
    assert (the(api, job_id)["Owner"], the(api, job_id)["OwnerGroup"]) == ("alice", "user")


def test_a_received_job_is_optimized_by_its_task_and_waits(api: Api) -> None:
    job_id, other = submitted(api, SIMPLE, SIMPLE + "Priority = 9;")
    run("jobs.optimize", "jobs.optimize")
    assert [the(api, one)["Status"] for one in (job_id, other)] == ["Waiting", "Waiting"]
    assert the(api, other)["UserPriority"] == 9
    assert asked() == []
