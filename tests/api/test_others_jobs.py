"""Where one sees one's own jobs only: nothing leads to those of others, whichever way one asks."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import update

from diracx_api.app import ROUTERS
from diracx_api.ui.visit import TICKET
from diracx_tasks.auth import refresh
from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import reading, session
from diracx_tasks.jobs.tables import JobJDL
from diracx_tasks.pilots import history
from diracx_tasks.pilots.tables import Pilot
from tests.api.caller import Api
from tests.api.pilots import about, put
from tests.builders import Installation, a_user, an_administrator
from tests.logins import USERS, configured
from tests.ui.pi import Pi

CLOSED = f"Registry:\n  lhcb:{USERS}"
CLOSED += "Operations: {lhcb: {Services: {JobMonitoring: {GlobalJobsInfo: false}}}}\n"
# Numbers that are nothing else than those of jobs, and words that only a job says.
FIRST, ERROR, PRINTED = 71_234_560, "no darts left", "throwing darts"
TELLING = re.compile(rf"712345[6-9]\d|{ERROR}|{PRINTED}|LCG\.CERN\.ch")
PILOT = "stamp-1"
# What is asked for with more than the numbers in the address.
MORE = {"seconds": 0, "pfn": "sandbox:/S3/x", "path": "simulate", "name": "counts"}


@pytest.fixture
def pi(installation: Installation) -> Iterator[Pi]:
    """Alice's workflow, that has failed because of the third of its eight simulations."""
    with configured(installation, CLOSED):
        with session() as db:
            db.add(JobJDL(job_id=FIRST))
        found = Pi().advance()
        jobs = found.jobs("simulate")
        found.run(jobs)
        found.end(jobs[2:3], error=ERROR)
        found.end([*jobs[:2], *jobs[3:]], {"count": 3})
        put("lhcb", PILOT, jobs=tuple(jobs))
        with session() as db:
            db.execute(update(Pilot).values(current_job=jobs[0], initial_job=jobs[0]))
        yield found


def addresses(pi: Pi) -> list[str]:
    """Everything that can be read of the workflow, its first job and the pilot."""
    numbers = {"workflow_id": pi.workflow_id, "run_id": pi.workflow_id, "stamp": PILOT, "hash": "0" * 64}
    of_job = pi.jobs("simulate")[2]
    numbers |= {"job_id": of_job, "task_id": of_job, "sandbox_type": "input"}
    every = [one for router in ROUTERS for one in router.api.routes]
    routes = [one for one in every if isinstance(one, APIRoute) and "GET" in (one.methods or ())]
    found = []
    for route in routes:
        names = set(route.param_convertors)
        if names & {"workflow_id", "run_id", "stamp", "job_id"} or route.path in ("/ui/pilots", "/ui/jobs"):
            found.append(route.path_format.format(**{name: {**MORE, **numbers}[name] for name in names}))
    return found


def read(api: Api, path: str, by: User, **more: Any) -> str:
    """The whole answer, as the API or a page gives it."""
    with session() as db:
        ticket = refresh.begin(db, f"vo:lhcb group:{by.group}", by.subject).refresh
    api.client.cookies.clear()
    api.client.cookies[TICKET] = ticket
    given = {name: MORE[name] for name in ("seconds", "pfn")} | more
    found = api.get(path, by=by, params=given, follow_redirects=False)
    assert found.status_code < 500, (path, found.text)
    return found.text


@pytest.mark.parametrize("who", [a_user("bob"), a_user()])
def test_whoever_may_not_see_anothers_jobs_learns_of_none(api: Api, pi: Pi, who: User) -> None:
    known, the_job = addresses(pi), str(pi.jobs("simulate")[2])
    assert len(known) > 40
    # A number that was asked for may be said again.
    told = {path: read(api, path, who).replace(the_job if the_job in path else "-", "-") for path in known}
    telling = sorted(path for path, text in told.items() if TELLING.search(text))
    assert telling == [] if who.name == "bob" else len(telling) > 15, telling


def test_a_pilot_that_had_them_does_not_say_so(api: Api, pi: Pi) -> None:
    (pilot,) = api.post("/api/pilots/search", {}, by=a_user("bob")).json()
    assert pilot["PilotStamp"] == PILOT and not pilot.keys() & {"CurrentJobID", "InitialJobID"}
    had = {"search": [about("JobID", "eq", pi.jobs("simulate")[0])]}
    for who, count in ((a_user("bob"), 0), (a_user(), 1), (an_administrator(), 1)):
        assert len(api.post("/api/pilots/search", had, by=who).json()) == count, who
        everything = api.post("/api/pilots/summary", {"grouping": [], "search": []}, by=who).text
        assert bool(TELLING.search(everything)) is (who.name == "admin")


def test_who_may_kill_a_pilot_knows_that_it_holds_jobs_and_how_many(api: Api, pi: Pi) -> None:
    others = Pi().advance()
    others.run(others.jobs("simulate")[:2])
    carol = a_user("carol", properties=(SERVICE,))
    with reading() as db:
        found = history.history(db, PILOT, by=carol)
    assert (found["holds"], found["jobs"]) == (2, [])
    holding = {"search": [about("CurrentJobID", "gt", 0)]}
    assert len(api.post("/api/pilots/search", holding, by=carol).json()) == 1


def test_what_happened_to_workflow_and_steps_is_told_all_the_same(api: Api, pi: Pi) -> None:
    path = f"/api/workflows/{pi.workflow_id}"
    assert api.get(path, by=a_user("bob")).json()["reason"] == ""
    assert ERROR in api.get(path, by=an_administrator()).json()["reason"]
    events = api.get(f"{path}/events", by=a_user("bob")).json()["events"]
    assert {(one["path"], one["status"]) for one in events} >= {("", "Failed"), ("simulate", "Failed")}
    assert not any(one["job_id"] or one["message"] or one["slot"] for one in events)
    single = Pi().advance()
    jobs = single.jobs("simulate")
    single.run(jobs)
    single.end(jobs, {"count": 3})
    looked = single.jobs("check/look")
    single.run(looked)
    single.end(looked, error=ERROR)
    told = api.get(f"/api/workflows/{single.workflow_id}/events", by=a_user("bob"))
    assert ("check/look", "Failed") in {(one["path"], one["status"]) for one in told.json()["events"]}
    assert not TELLING.search(told.text)
    for by, is_told in ((a_user("bob"), False), (a_user(), True)):
        stream = read(api, f"{path}/live", by, logs=False)
        assert "event: end" in stream and bool(TELLING.search(stream)) is is_told


def test_what_is_nothing_but_their_jobs_is_refused(api: Api, pi: Pi) -> None:
    for base in ("/api", "/ui"):
        assert "own jobs only" in read(api, f"{base}/workflows/{pi.workflow_id}/crate", a_user("bob"))
        assert "own jobs only" in read(api, f"{base}/workflows/{pi.workflow_id}/resources", a_user("bob"))
        assert "own jobs only" not in read(api, f"{base}/workflows/{pi.workflow_id}/crate", a_user())
