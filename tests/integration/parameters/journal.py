"""An installation with an OpenSearch, real or stand-in, and what tests do with job parameters in it."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import delete, select, update

import diracx_tasks.jobs.tasks  # noqa: F401 (declares the tasks)
from diracx_tasks.core import database, opensearch
from diracx_tasks.engine.declared import REGISTRY
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.jobs import parameters
from diracx_tasks.jobs import send_parameters as sending
from diracx_tasks.jobs.parameter_documents import indexes_of
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import ParameterNews
from tests.builders import VO, a_job, environment
from tests.opensearch import REAL, OpenSearchDouble


@contextmanager
def with_opensearch(stated: dict[str, str], *, password: str = "") -> Iterator[OpenSearchDouble]:
    """These settings and an OpenSearch with nothing of ours in it; a real one leaves the double stopped."""
    own = {"DIRACX_OPENSEARCH_URL": REAL, "DIRACX_OPENSEARCH_PREFIX": f"test-{secrets.token_hex(4)}-"}
    with ExitStack() as stack:
        double = OpenSearchDouble(password)
        if not REAL:
            stack.enter_context(double)
            own["DIRACX_OPENSEARCH_URL"] = double.url
        if password:
            own |= {"DIRACX_OPENSEARCH_USER": "diracx", "DIRACX_OPENSEARCH_PASSWORD": password}
        stack.enter_context(environment(**stated, **own))
        yield double
        if REAL:
            _clean(own["DIRACX_OPENSEARCH_PREFIX"])
        opensearch._client.cache_clear()


def _clean(prefix: str) -> None:
    absent = {"ignore": 404}
    opensearch._ask(lambda client: client.indices.delete(index=f"{prefix}*", params=dict(absent)))
    name = f"{prefix}job_parameters"
    opensearch._ask(lambda client: client.indices.delete_index_template(name=name, params=dict(absent)))


def a_stored_job(vo: str = VO) -> int:
    with database.session() as db:
        return a_job(db, Status.RECEIVED, vo=vo)


def record(job_id: int, vo: str = VO, /, **found: Any) -> None:
    with database.session() as db:
        parameters.record(db, {job_id: found}, {job_id: vo})


def read(job_id: int, vo: str = VO) -> parameters.Found:
    with database.reading() as db:
        return parameters.read(db, [job_id], vo)


def known(job_id: int, vo: str = VO) -> dict[str, Any]:
    """What a user sees of a job's parameters."""
    found = dict(read(job_id, vo).parameters[job_id])
    found.pop("timestamp", None)
    return found


def document(job_id: int, vo: str = VO) -> dict[str, Any] | None:
    """What OpenSearch has of a job."""
    (found,) = opensearch.get_many([(indexes_of({job_id: vo})[job_id], job_id)], source=True)
    source: dict[str, Any] | None = found.get("_source")
    return {name: value for name, value in source.items() if name != "timestamp"} if source else None


def run() -> str:
    """What a worker does."""
    return REGISTRY[parameters.SEND].function()


def forget(*job_ids: int) -> None:
    with database.session() as db:
        parameters.forget(db, job_ids)


def waiting() -> dict[tuple[int, str], Any]:
    """What is in the journal, refused or not."""
    with database.reading() as db:
        rows = db.execute(select(ParameterNews.job_id, ParameterNews.name, ParameterNews.value)).all()
    return {(job_id, name): value for job_id, name, value in rows}


def backlog() -> int:
    with database.reading() as db:
        return parameters.backlog(db)[0]


def refused() -> dict[str, str]:
    """Reasons by name of the parameter."""
    with database.reading() as db:
        found = parameters.refused(db)
        assert len(found) == min(100, parameters.refused_count(db))
    return {one.name: one.reason for one in found}


def make_due() -> None:
    """Time goes by for what was put off."""
    with database.session() as db:
        later = update(ParameterNews).where(ParameterNews.due_at.is_not(None))
        database.changed(db, later.values(due_at=database.utc_now(-1)))


def empty_the_journal() -> None:
    """As nothing had ever been recorded or asked for."""
    parameters._ASKED.clear()
    with database.session() as db:
        for table in (ParameterNews, Outbox):
            database.changed(db, delete(table))


def wanted(job_id: int, **found: Any) -> dict[str, Any]:
    return {"JobID": job_id, **found}


def looked() -> list[sending.Document]:
    """What a worker holds that is about to send."""
    with database.reading() as db:
        jobs = sending.due(db)
    documents = sending.look(jobs)
    with database.reading() as db:
        return sending.fill(db, documents)


def settle(sent: sending.Sent) -> None:
    with database.session() as db:
        sending.settle(db, sent)
