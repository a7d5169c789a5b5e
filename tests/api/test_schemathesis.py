"""Requests made from the OpenAPI document, good and bad ones, as everybody: none is answered with 5xx."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from diracx_tasks.core.database import session
from diracx_tasks.jobs.states import Status
from tests.api.conftest import application
from tests.builders import a_job, a_pilot, a_user, a_workflow, an_administrator, bearer, environment
from tests.logins import configuration
from tests.servers import Redis

# A run by hand may ask for more, and then chooses other requests each time.
EXAMPLES = int(os.environ.get("DIRACX_TESTS_EXAMPLES", "0"))
EVERYTHING = ("NormalUser", "JobAdministrator", "ServiceAdministrator")
CALLERS = {
    "nobody": None,
    "a user": a_user(),
    "a VO's administrator": an_administrator("alice"),
    "a service administrator": a_user(properties=EVERYTHING),
    "a pilot": a_pilot(),
}
# These have bodies whose keys are jobs, times or pilots: a key that exists leads further.
BY_JOB = ("jobs_set_job_statuses", "jobs_add_heartbeat", "jobs_patch_metadata")
CHECKS: Any = [not_a_server_error, content_type_conformance, response_schema_conformance]


def the_document() -> Any:
    schema = schemathesis.openapi.from_dict(application().openapi(), config=SchemathesisConfig.discover())
    schema.app = application()
    return schema


OPERATIONS = {
    found.ok().definition.raw["operationId"]: found.ok() for found in the_document().get_all_operations()
}


@pytest.fixture(scope="module")
def world(
    template: Path, tmp_path_factory: pytest.TempPathFactory, redis_server: Redis
) -> Iterator[asgi.ASGIClient]:
    """An installation with jobs in many states, shared by all requests of this file."""
    folder = tmp_path_factory.mktemp("attacked")
    for part in template.rglob("*"):
        if part.is_file():
            (folder / part.relative_to(template)).parent.mkdir(parents=True, exist_ok=True)
            (folder / part.relative_to(template)).write_bytes(part.read_bytes())
    (folder / "logins.yml").write_text(configuration())
    redis_server.flush()
    stated = {
        "DIRACX_DATA": str(folder),
        "DIRACX_REDIS_URL": redis_server.url,
        "DIRACX_URL": "http://testserver",
        "DIRACX_CONFIG_BACKEND_URL": str(folder / "logins.yml"),
        "DIRACX_LOGIN_PAGE": "true",
    }
    with environment(**stated):
        with session() as db:
            for status in (Status.WAITING, Status.RUNNING, Status.DONE, Status.RECEIVED, Status.KILLED):
                a_job(db, status)
            a_workflow(db)
        with asgi.get_client(application()) as client:
            yield client


def cases(operation: Any) -> st.SearchStrategy[Any]:
    """Requests that fit the document and that do not; half of them are about what exists."""
    names = {one["name"] for one in operation.definition.raw.get("parameters", []) if one["in"] == "path"}
    known = {name: 1 for name in names if name in ("job_id", "workflow_id")}
    kinds = [operation.as_strategy(mode) for mode in GenerationMode]
    about = [operation.as_strategy(mode, path_parameters=known) for mode in GenerationMode] if known else []
    return st.one_of(kinds + about)


def aimed(case: Any, key: str, job_id: int) -> None:
    """Have a body by jobs be about one that exists."""
    body = case.body
    if key in BY_JOB and isinstance(body, dict) and body:
        inner = next(iter(body.values()))
        if key == "jobs_set_job_statuses" and isinstance(inner, dict) and inner:
            inner = {"2026-11-25T10:00:00Z": next(iter(inner.values()))}
        case.body = {str(job_id): inner}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("key", OPERATIONS)
def test_no_request_is_answered_with_an_error_of_the_servers(key: str, world: asgi.ASGIClient) -> None:
    @hypothesis.settings(
        max_examples=EXAMPLES or 12,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    @hypothesis.given(
        cases(OPERATIONS[key]), st.sampled_from(sorted(CALLERS)), st.integers(1, 6), st.booleans()
    )
    def attack(case: Any, who: str, job_id: int, is_aimed: bool) -> None:
        if is_aimed:
            aimed(case, key, job_id)
        by = CALLERS[who]
        case.headers.pop("Authorization", None)
        case.call_and_validate(
            session=world, headers=bearer(by) if by else {}, checks=CHECKS, allow_redirects=False
        )

    attack()
