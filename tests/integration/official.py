"""A server of ours that the official clients are pointed at, and what they do there, step by step."""

import asyncio
import inspect
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import urllib3
from azure.core.exceptions import HttpResponseError
from diracx.client._generated import operations as operations_of_sync
from diracx.client._generated.aio import operations as operations_of_aio
from diracx.client.aio import AsyncDiracClient
from diracx.client.sync import SyncDiracClient
from diracx.core.preferences import DiracxPreferences

from diracx_tasks.auth import keys, tokens
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.schema import migrate
from diracx_tasks.core.settings import settings
from tests.builders import Installation
from tests.desk import Desk
from tests.logins import configuration, configured
from tests.processes import ROOT, Processes
from tests.provider import provider
from tests.servers import free_port
from tests.system import wait_for

SECONDS = 3600
SERVER = ("uvicorn", "--factory", "diracx_api.app:create_app", "--log-level=warning")


@dataclass
class Site(Desk):
    """A server of ours on a port, its provider, and the folder of those who use it."""

    processes: Processes = field(default_factory=lambda: pytest.fail("no server"))

    def be(self, user: User | None) -> None:
        """Have the commands and clients be this user's: his token is where they look for it."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.unlink(missing_ok=True)
        if user is not None:
            token = tokens.issue(user, seconds=SECONDS)
            # The client takes a token that is good for 300 s more, and looks at the other one only then.
            kept = {"access_token": token, "refresh_token": token, "expires_on": int(time.time()) + SECONDS}
            self.file.write_text(json.dumps(kept))

    @property
    def preferences(self) -> DiracxPreferences:
        """What the client is told besides its code."""
        return DiracxPreferences(url=self.url, credentials_path=self.file)


@contextmanager
def serving(installation: Installation, folder: Path, **stated: str) -> Iterator[Site]:
    """A running server with a VO that has users and a provider."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        made = stack.enter_context(provider())
        text = configuration(made.url)
        stack.enter_context(configured(installation, text, **{"DIRACX_URL": url, **stated}))
        keys.create(settings().keys_file)
        migrate()
        processes = stack.enter_context(Processes(folder, {"PYTHONPATH": str(ROOT)}))
        processes.start("api", *SERVER, f"--port={port}")
        wait_for(lambda: answers(f"{url}/api/health/ready"), 60, lambda: processes.log)
        home = folder / "home"
        home.mkdir()
        yield Site(url, home, made, processes=processes)


def answers(url: str) -> bool:
    """Whether there is a 200."""
    try:
        return urllib3.request("GET", url, retries=False, timeout=5).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def operations(module: Any) -> set[str]:
    """All operations of the generated client, as `jobs.search`."""
    return {
        f"{GROUPS[kind]}.{name}"
        for kind, group in inspect.getmembers(module, inspect.isclass)
        for name, _ in inspect.getmembers(group, inspect.isfunction)
        if not name.startswith("_")
    }


GROUPS = {
    "WellKnownOperations": "well_known",
    "AuthOperations": "auth",
    "ConfigOperations": "config",
    "JobsOperations": "jobs",
    "PilotsOperations": "pilots",
    "RssOperations": "rss",
}
OPERATIONS = operations(operations_of_sync)
assert operations(operations_of_aio) == OPERATIONS


class Official:
    """The official client, synchronous or not, in the same words; it notes which operations it walked."""

    def __init__(self, site: Site, kind: str, user: User | None = None) -> None:
        self.site = site
        self.walked: set[str] = set()
        self.last: Any = None
        self.loop = asyncio.new_event_loop() if kind == "async" else None
        site.be(user)
        made = AsyncDiracClient if self.loop else SyncDiracClient
        self.client: Any = made(diracx_preferences=site.preferences)

    def __enter__(self) -> Self:
        self._done(self.client.__aenter__() if self.loop else self.client.__enter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        closing = self.client.__aexit__ if self.loop else self.client.__exit__
        self._done(closing(None, None, None))
        if self.loop:
            self.loop.close()

    def ask(self, name: str, *given: Any, status: int = 200, **named: Any) -> Any:
        """What an operation answers, with exactly this status."""
        found = self._call(name, *given, **named)
        assert self.last.http_response.status_code == status, name
        return found

    def refused(self, name: str, status: int, *given: Any, as_: Any = HttpResponseError, **named: Any) -> Any:
        """What the answer says, where an operation raises exactly this error with this status."""
        with pytest.raises(as_) as caught:
            self._call(name, *given, **named)
        error: Any = caught.value
        assert type(error) is as_ and error.status_code == status, (name, error)
        text = error.response.text()
        said = json.loads(text) if text else {}
        return said.get("detail") if isinstance(said, dict) else said

    def _call(self, name: str, *given: Any, **named: Any) -> Any:
        group, _, operation = name.partition(".")
        self.walked.add(name)
        call: Callable[..., Any] = getattr(getattr(self.client, group), operation)
        return self._done(call(*given, raw_response_hook=self._note, **named))

    def _note(self, response: Any) -> None:
        self.last = response

    def _done(self, started: Any) -> Any:
        return self.loop.run_until_complete(started) if self.loop else started
