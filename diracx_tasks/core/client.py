"""The HTTP client of the pilot and of the command line: JSON in, JSON out, files to and from the store."""

import copy
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from diracx_tasks.core import credentials
from diracx_tasks.core.errors import ApiError, LoginNeeded, Unreachable
from diracx_tasks.core.form import Form, Told, untold

AWAY = (502, 503, 504)


class Client:
    """Talks to one API as one user; safe to use from several threads.

    `token` is his access token, or gives the one that holds now; None: he shows none.
    """

    def __init__(
        self, url: str, token: str | Callable[[], str] | None, *, retries: int = 5, timeout: float = 60
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self.trace: str | None = None
        # POST is repeated only when it cannot have been carried out: no connection, or 503 before the work.
        self._retry = urllib3.Retry(
            total=retries,
            read=0,
            status_forcelist=AWAY,
            allowed_methods=None,
            backoff_factor=0.3,
            backoff_max=5,
            raise_on_status=False,
        )
        self._pool = urllib3.PoolManager(
            maxsize=8, timeout=urllib3.Timeout(connect=min(5, timeout), read=timeout), retries=self._retry
        )

    @classmethod
    def from_environment(cls, **options: Any) -> "Client":
        """A client for DIRACX_URL with DIRACX_TOKEN, a login, or what `diracx up` has left, in this order."""
        url, left = known_server()
        # A token is for the server that gave it, and for no other.
        theirs = left.get("token") if url == left.get("url") else None
        token = os.environ.get("DIRACX_TOKEN") or _login(url, left) or theirs
        if not token:
            raise LoginNeeded(f"no token for {url}: log in with `diracx login`, or set DIRACX_TOKEN")
        return cls(url, token, **options)

    @property
    def token(self) -> str:
        """The access token that holds now; LoginNeeded when there is none (any more)."""
        if self._token is None:
            raise LoginNeeded(f"there is no token for {self.url}")
        return self._token if isinstance(self._token, str) else self._token()

    def traced(self, trace: str | None) -> "Client":
        """The same client, its requests belonging to a trace (a W3C traceparent)."""
        found = copy.copy(self)
        found.trace = trace
        return found

    def get(self, path: str, **query: Any) -> Any:
        """The answer's JSON."""
        return self._json("GET", path, None, query)

    def post(
        self, path: str, body: Any = None, *, headers: dict[str, str] | None = None, **query: Any
    ) -> Any:
        """The answer's JSON."""
        return self._json("POST", path, body, query, headers)

    def patch(self, path: str, body: Any = None, **query: Any) -> Any:
        """The answer's JSON."""
        return self._json("PATCH", path, body, query)

    def put(self, path: str, body: Any = None, **query: Any) -> Any:
        """The answer's JSON."""
        return self._json("PUT", path, body, query)

    def delete(self, path: str, **query: Any) -> Any:
        """The answer's JSON."""
        return self._json("DELETE", path, None, query)

    @contextmanager
    def stream(
        self, path: str, *, timeout: float = 3600, headers: dict[str, str] | None = None, **query: Any
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """The open answer, to be read in the block; Unreachable when it breaks off there."""
        options = {"preload_content": False, "timeout": timeout}
        with _unbroken(self.url + path):
            answer = self._send("GET", path, query=query, headers=headers, **options)
            try:
                yield answer
            finally:
                # Of one that was read to its end the connection is in the pool already.
                answer.close()

    def upload(self, grant: dict[str, Any], path: Path, told: Told = untold) -> None:
        """Store a file under a grant, `{"url", "fields"}` (a presigned POST); `told` the bytes that went."""
        # The policy allows exactly one content under this name: a repeated upload is harmless.
        with path.open("rb") as file:
            form = Form(grant["fields"], path.name, file, told)
            self._checked(
                self._request("POST", self._absolute(grant["url"]), body=form, headers=form.headers)
            )

    def download(self, url: str, to: Path, told: Told = untold) -> None:
        """Fetch a presigned URL into a file; `told` bytes that came. One that fails leaves no file."""
        part, source = to.with_name(to.name + ".part"), self._absolute(url)
        with _unbroken(source):
            answer = self._checked(self._request("GET", source, preload_content=False))
            try:
                with part.open("wb") as out:
                    for chunk in answer.stream(1 << 20):
                        out.write(chunk)
                        told(len(chunk))
                part.rename(to)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            finally:
                answer.close()

    def _absolute(self, url: str) -> str:
        return url if "://" in url else self.url + url

    def _json(
        self, method: str, path: str, body: Any, query: dict[str, Any], headers: dict[str, str] | None = None
    ) -> Any:
        sent = {"Content-Type": "application/json"} if body is not None else {}
        data = json.dumps(body).encode() if body is not None else None
        answer = self._send(method, path, query=query, body=data, headers={**sent, **(headers or {})})
        try:
            return json.loads(answer.data) if answer.data else None
        except ValueError as error:
            raise Unreachable(
                f"{self.url} answers, but not as a DiracX server: {answer.data[:80]!r}"
            ) from error

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any],
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> urllib3.BaseHTTPResponse:
        url = self.url + path
        given = {key: value for key, value in query.items() if value is not None}
        if given:
            url += "?" + urlencode(given, doseq=True)
        sent = {"Accept": "application/json"}
        if self._token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        if self.trace:
            sent["traceparent"] = self.trace
        return self._checked(self._request(method, url, headers={**sent, **(headers or {})}, **options))

    def _request(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(method, url, **options)
        except urllib3.exceptions.HTTPError as error:
            words = credentials.reason_of(error)
            raise Unreachable(f"{url.split('?', maxsplit=1)[0]} does not answer: {words}") from error

    def _checked(self, answer: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse:
        if answer.status < 400:
            return answer
        detail = _detail(answer)
        if answer.status == 401:
            shown = "refuses" if self._token is None else "does not accept the token"
            raise LoginNeeded(f"{self.url} {shown}: {detail}")
        if answer.status in AWAY:
            raise Unreachable(f"{self.url} is not ready: {detail}")
        raise ApiError(answer.status, detail)


@contextmanager
def _unbroken(url: str) -> Iterator[None]:
    """Have the end of the line, while an answer is read in the block, be Unreachable."""
    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        # Of a broken line urllib3 gives words, and then what they are made of.
        words = error.args[-1] if error.args else error
        raise Unreachable(f"{url.split('?', maxsplit=1)[0]} broke off: {words}") from error


def _detail(answer: urllib3.BaseHTTPResponse) -> Any:
    text = answer.data.decode(errors="replace")
    try:
        body = json.loads(text)
    except ValueError:
        return text[:2000]
    return body.get("detail", body) if isinstance(body, dict) else body


def known_server() -> tuple[str, dict[str, str]]:
    """The address of the server to talk to, and what `diracx up` has left of its own and its token.

    Unreachable when no server is known.
    """
    left = _left()
    url = os.environ.get("DIRACX_URL") or credentials.read().get("url") or left.get("url")
    if not url:
        raise Unreachable("no server is known: set DIRACX_URL, or start one here with `diracx up`")
    return url.rstrip("/"), left


def _login(url: str, left: dict[str, str]) -> credentials.Login | None:
    """The login to a server, if there is one.

    The official clients do not write down which server it is to; it is then to the one that DIRACX_URL
    states, unless that is the one that `diracx up` runs.
    """
    kept = credentials.read()
    to = kept.get("url") or (url if os.environ.get("DIRACX_URL") and url != left.get("url") else "")
    is_here = to.rstrip("/") == url and credentials.is_alive(kept)
    return credentials.Login(url) if is_here else None


def _left() -> dict[str, str]:
    from diracx_tasks.core.paths import data_folder

    try:
        stored: dict[str, str] = json.loads((data_folder() / "client.json").read_text())
    except (OSError, ValueError):
        return {}
    return stored
