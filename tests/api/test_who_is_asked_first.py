"""Who asks is known before what he sends is read: strangers cost nothing and learn nothing of our forms."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from diracx_tasks.auth import rights
from diracx_tasks.auth.tokens import User
from tests.api.caller import Api
from tests.api.conftest import application
from tests.builders import Installation, a_pilot, a_user, bearer

WRITING = ("post", "patch", "delete", "put")
STRANGERS: dict[str, User | None] = {
    rights.authenticated.name: None,
    rights.not_a_pilot.name: a_pilot(),
}
NOBODY = a_user(properties=())
TARGETS = [("POST", "/api/jobs/jdl"), ("PATCH", "/api/jobs/status"), ("POST", "/api/workflows")]


def guarded() -> list[tuple[str, str, str]]:
    """Method, address and right of every route that takes something of somebody with a token."""
    return [
        (method.upper(), path.replace("{key}", "sha256").replace("{job_id}", "1"), route["x-right"])
        for path, methods in application().openapi()["paths"].items()
        for method, route in methods.items()
        if method in WRITING and "security" in route
    ]


def asked(method: str, path: str, headers: dict[str, str]) -> tuple[int, int]:
    """The status of the answer, and how often the server asked for a part of the body, which never ends."""
    said: list[int] = []
    read = 0

    async def receive() -> Message:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"[" * 65536, "more_body": True}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            said.append(message["status"])

    given = {"content-type": "application/json", "transfer-encoding": "chunked", **headers}
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 80),
    }
    asyncio.run(application()(scope, receive, send))
    (status,) = said
    return status, read


def test_of_what_is_sent_without_a_token_nothing_is_read(installation: Installation) -> None:
    routes = guarded()
    assert len(routes) > 20
    for method, path, _ in routes:
        assert asked(method, path, {}) == (401, 0), (method, path)


def test_of_what_is_sent_with_a_bad_token_nothing_is_read(installation: Installation) -> None:
    for method, path, _ in guarded():
        # 400 to what is no bearer token, as DiracX; clients of GA4GH may send it as a password.
        basic = 401 if path.startswith("/ga4gh") else 400
        for token, status in (("Bearer nonsense", 401), ("Basic YTpi", basic)):
            assert asked(method, path, {"Authorization": token}) == (status, 0), (method, path)


def test_of_what_is_sent_without_the_right_nothing_is_read(installation: Installation) -> None:
    for method, path, right in guarded():
        stranger = STRANGERS.get(right, NOBODY)
        if stranger is not None:
            assert asked(method, path, bearer(stranger)) == (403, 0), (method, path, right)


def test_who_may_is_read_up_to_what_the_route_takes(installation: Installation) -> None:
    status, read = asked("POST", "/api/jobs/search", bearer(a_user()))
    assert status == 413 and read >= 1


@pytest.mark.parametrize("method, path", TARGETS)
def test_a_malformed_body_of_a_stranger_is_not_looked_at(api: Api, method: str, path: str) -> None:
    sent: dict[str, Any] = {"content": b'{"', "headers": {"Content-Type": "application/json"}}
    assert api.ask(method, path, by=None, **sent).status_code == 401
    assert api.ask(method, path, by=NOBODY, **sent).status_code == 403
    assert api.ask(method, path, **sent).status_code in (400, 422)
