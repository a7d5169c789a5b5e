"""Requests made from the OpenAPI document, good and bad ones, as everybody: none is answered with 5xx."""

import os
import shutil
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

from diracx_tasks.auth import rights
from diracx_tasks.auth.rights import Right
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import now, session
from diracx_tasks.engine import dead_letters, schedules
from diracx_tasks.jobs.states import Status
from diracx_tasks.sandboxes import metadata
from tests.api.conftest import application
from tests.builders import (
    HEX,
    TOOL,
    a_job,
    a_pilot,
    a_user,
    a_workflow,
    an_administrator,
    bearer,
    environment,
)
from tests.logins import configuration
from tests.servers import Redis

# A run by hand may ask for more, and then chooses other requests each time.
EXAMPLES = int(os.environ.get("DIRACX_TESTS_EXAMPLES", "0"))
EVERYTHING = ("NormalUser", "JobAdministrator", "ServiceAdministrator")
CALLERS = [
    None,
    a_user(),
    an_administrator("alice"),
    a_user(properties=EVERYTHING),
    a_pilot(),
]
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
    folder = tmp_path_factory.mktemp("attacked") / "data"
    shutil.copytree(template, folder)
    (folder / "logins.yml").write_text(configuration())
    redis_server.flush()
    stated = {
        "DIRACX_DATA": str(folder),
        "DIRACX_REDIS_URL": redis_server.url,
        "DIRACX_URL": "http://testserver",
        "DIRACX_CONFIG_BACKEND_URL": str(folder / "logins.yml"),
        "DIRACX_LOGIN_PAGE": "true",
    }
    served: Any = application()
    with environment(**stated):
        with session() as db:
            schedules.synchronize(db)
            for status in (Status.WAITING, Status.RUNNING, Status.DONE, Status.RECEIVED, Status.KILLED):
                a_job(db, status)
            metadata.initiate(db, metadata.Owner("alice", "user", "lhcb"), checksum=HEX, size=3)
        with asgi.get_client(served) as client:
            yield client


@pytest.fixture
def things(world: asgi.ASGIClient) -> dict[str, Any]:
    """What exists, by its name in addresses: other requests may have ended what there was."""
    with session() as db:
        work = a_workflow(db).workflow_id
        dead = {"key": f"workflow-{work}.advance", "task": "workflows.advance", "tries": 5, "parent": None}
        arguments = {"arguments": {"workflow_id": work}, "enqueued_by": "alice@lhcb"}
        letter = dead_letters.bury(db, {**dead, **arguments}, since=now(), error="no luck")
        known = {"job_id": a_job(db, Status.RUNNING), "workflow_id": work, "letter_id": letter}
    return {**known, "name": "jobs.optimize", "key": f"workflow-{work}.advance", "sandbox_type": "output"}


# What leads a request further than a value made up: what exists, by the names of fields and parameters.
KNOWN: dict[str, list[Any]] = {
    "parameter": ["JobID", "Status", "LastUpdateTime", "VerifiedFlag", "PilotStamp", "UserPriority"],
    "parameters": [["JobID", "Status"], ["LoggingInfo"], ["PilotStamp"], None],
    "grouping": [["Status"], ["Site", "Owner"], ["GridType"], []],
    "value": ["Running", "2026-11", "2026-02-30", 17, "[", "1 OR 1=1"],
    "client_id": ["myDIRACClientID"],
    "scope": [
        "vo:lhcb",
        "vo:lhcb group:user",
        "vo:lhcb property:NormalUser",
        "vo:belle",
        "vo:lhcb group:admins",
    ],
    "redirect_uri": ["http://localhost:8000/#authentication-callback"],
    "vo": ["lhcb", "belle"],
    "stamp": ["stamp-1"],
    "pilot_stamp": ["stamp-1", "stamp-2"],
    "attempt": [1],
    "job_ids": [[1], [2, 3], [4711], [4, 5, 6], []],
    "outcome": ["Done"],
    "locations": [[f"sandbox:/S3/local/lhcb/user/alice/sha256:{HEX}.file"]],
    "task": ["workflows.advance"],
    "main": ["workflow.cwl"],
    "files": [{"workflow.cwl": TOOL}],
    "inputs": [{"words": "x"}, {}],
    "pfn": [f"SB:SandboxSE|/S3/local/lhcb/user/alice/sha256:{HEX}.file"],
    "grant_type": ["refresh_token"],
    "every": [60],
}
BY_JOB = ("jobs_set_job_statuses", "jobs_add_heartbeat", "jobs_patch_metadata")


def cases(operation: Any, things: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Requests that fit the document and that do not; half of them are about what exists."""
    names = {one["name"] for one in operation.definition.raw.get("parameters", []) if one["in"] == "path"}
    known = {name: value for name, value in things.items() if name in names}
    kinds = [operation.as_strategy(mode) for mode in GenerationMode]
    about = [operation.as_strategy(mode, path_parameters=known) for mode in GenerationMode] if known else []
    return st.one_of(kinds + about)


def callers(operation: Any) -> st.SearchStrategy[User | None]:
    """Everybody, and half the time somebody who has the right."""
    right = operation.definition.raw["x-right"]
    (rule,) = {one for one in vars(rights).values() if isinstance(one, Right) and one.name == right}
    may = [one for one in CALLERS if one is not None and rule.holds(one)]
    return st.one_of(st.sampled_from(may), st.sampled_from(CALLERS))


def aimed(value: Any, number: int) -> Any:
    """The same with what exists in the fields that we know."""
    if isinstance(value, list):
        return [aimed(one, number) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: KNOWN[name][number % len(KNOWN[name])] if name in KNOWN else aimed(one, number)
        for name, one in value.items()
    }


def aimed_body(key: str, body: Any, number: int, job_id: int) -> Any:
    """A body about a job that exists, and about descriptions that can be read."""
    if key == "jobs_submit_jdl_jobs" and isinstance(body, list):
        return [
            f'Executable = "echo"; JobName = "{len(body)}"; {one}' for one in ["", *map(str, body)][:number]
        ]
    if key in BY_JOB and isinstance(body, dict) and body:
        inner = next(iter(body.values()))
        if key == "jobs_set_job_statuses" and isinstance(inner, dict) and inner:
            inner = {f"2026-11-25T10:00:0{number}Z": next(iter(inner.values()))}
        return {str(job_id): inner}
    if key == "pilots_update_pilot_metadata" and isinstance(body, dict) and body:
        return {"stamp-1": next(iter(body.values()))}
    return aimed(body, number)


@pytest.mark.parametrize("key", OPERATIONS)
def test_no_request_is_answered_with_an_error_of_the_servers(
    key: str, world: asgi.ASGIClient, things: dict[str, Any]
) -> None:
    operation = OPERATIONS[key]

    @hypothesis.settings(
        max_examples=EXAMPLES or 12,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    @hypothesis.given(cases(operation, things), callers(operation), st.integers(1, 6), st.booleans())
    def attack(case: Any, by: User | None, number: int, is_aimed: bool) -> None:
        if is_aimed:
            case.query = aimed(case.query, number)
            case.body = aimed_body(key, case.body, number, things["job_id"])
        if key == "workflows_follow_workflow":
            # Its workflow goes on for ever, and so would the answer.
            case.query = {**(case.query or {}), "seconds": 0}
        case.headers.pop("Authorization", None)
        case.call_and_validate(
            session=world, headers=bearer(by) if by else {}, checks=CHECKS, allow_redirects=False
        )

    attack()
