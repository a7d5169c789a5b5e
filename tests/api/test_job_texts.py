"""Any text that a job may hold comes back from a search exactly as it was."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from diracx_tasks.core.database import session
from tests.api.caller import Api
from tests.api.changes import a_stored_job, at, tell
from tests.api.stores import installation, migrated
from tests.builders import a_job

__all__ = ["installation", "migrated"]
ODD = st.sampled_from(
    ['"', "\\", "'", "/", "\n", "\r", "\t", "\b", "\f", "\x01", "\x1f", "\x7f", "\x85", "%", "%s", "{}", "é"]
)
MORE = st.sampled_from(
    ["\u2028", "\ufeff", "\ufffe", "\U0001d518", "🚀", "a\u0301", " ", "null", "\\u0041", "]},"]
)
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.lists(st.one_of(ODD, MORE, LETTERS), min_size=1, max_size=30).map("".join)
MANY = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def row_of(api: Api, job_id: int, *parameters: str) -> dict[str, Any]:
    search = [{"parameter": "JobID", "operator": "eq", "value": job_id}]
    answer = api.post("/api/jobs/search", {"search": search, "parameters": parameters})
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()
    return dict(found)


@MANY
@given(text=TEXTS)
def test_any_name_comes_back_as_it_was(api: Api, text: str) -> None:
    with session() as db:
        job_id = a_job(db, name=text)
    assert row_of(api, job_id, "JobName") == {"JobName": text[:128]}
    assert api.get(f"/api/jobs/{job_id}").json()["JobName"] == text[:128]


@MANY
@given(application=TEXTS, minor=TEXTS, source=TEXTS)
def test_whatever_an_update_says_comes_back_as_it_was(
    api: Api, application: str, minor: str, source: str
) -> None:
    with session() as db:
        job_id = a_job(db)
    update = {"ApplicationStatus": application, "MinorStatus": minor[:128], "Source": source}
    for _ in range(2):
        answer = tell(api, job_id, {at(1): update})
        assert answer.status_code == 200, answer.text
    found = row_of(api, job_id, "ApplicationStatus", "MinorStatus", "LoggingInfo")
    assert (found["ApplicationStatus"], found["MinorStatus"]) == (application[:255], minor[:128])
    last = found["LoggingInfo"][-1]
    assert (last["ApplicationStatus"], last["Source"]) == (application[:255], source[:32])
    assert len(found["LoggingInfo"]) == 3


@MANY
@given(text=TEXTS)
def test_a_job_is_found_by_exactly_its_name(api: Api, text: str) -> None:
    with session() as db:
        job_id = a_job(db, name=text)
    search = [{"parameter": "JobName", "operator": "eq", "value": text[:128]}]
    answer = api.post("/api/jobs/search", {"search": search, "parameters": ["JobID"]})
    assert {"JobID": job_id} in answer.json()


def test_a_nul_in_a_text_breaks_nothing(api: Api, db: Session) -> None:
    job_id = a_stored_job(db)
    for text in ("\0", "a\0b", "\0a"):
        assert tell(api, job_id, {at(1): {"ApplicationStatus": text, "Source": text}}).status_code in (
            200,
            422,
        )
        assert row_of(api, job_id, "ApplicationStatus", "LoggingInfo")
