"""Requests as somebody."""

import json
from typing import Any

import httpx2
from fastapi.testclient import TestClient

from diracx_tasks.auth.tokens import User
from tests.builders import TOOL, a_user, bearer

__all__ = ["ALICE", "Api", "TestClient"]
ALICE = a_user()


class Api:
    """Asks the API; `by` is who asks, None without a token."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def ask(self, method: str, path: str, *, by: User | None = ALICE, **options: Any) -> httpx2.Response:
        """The answer, whatever it is."""
        headers = {**(bearer(by) if by else {}), **options.pop("headers", {})}
        found: httpx2.Response = self.client.request(method, path, headers=headers, **options)
        return found

    def get(self, path: str, **options: Any) -> httpx2.Response:
        """The answer to a GET."""
        return self.ask("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        """The answer to a POST of JSON."""
        return self.ask("POST", path, **_sent(body, options))

    def patch(self, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        """The answer to a PATCH with JSON."""
        return self.ask("PATCH", path, **_sent(body, options))

    def submit(self, text: str = TOOL, inputs: Any = None, **options: Any) -> httpx2.Response:
        """The answer to a submission of one document."""
        given = {"words": "hello"} if inputs is None else inputs
        body = {"files": {"workflow.cwl": text}, "main": "workflow.cwl", "inputs": given}
        return self.post("/api/workflows", body, **options)


def _sent(body: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The body in ASCII: also what is no Unicode, or no number, is sent."""
    headers = {**options.pop("headers", {}), "Content-Type": "application/json"}
    return {**options, "headers": headers, **({} if body is None else {"content": json.dumps(body)})}
