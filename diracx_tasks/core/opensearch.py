"""OpenSearch, when DIRACX_OPENSEARCH_URL is set: a client for each process, and errors in words."""

import os
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from diracx_tasks.core.errors import Unavailable
from diracx_tasks.core.settings import settings

# Most installations have none, and importing its client takes longer than much of the rest together.
if TYPE_CHECKING:
    from opensearchpy import OpenSearch

# So long a request may take that nobody waits for.
PATIENCE = 30.0
# Who reads for a user asks a server that failed again after so many seconds.
REST = 3.0
POOL = 20
WORDS = 500
_FAILED: dict[str, float] = {}
TOO_LARGE = 413


class NotTaken(Unavailable):
    """The server answers but does not take this request: it is too large, or not understood."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


def is_used() -> bool:
    """Whether this installation has an OpenSearch."""
    return bool(settings().opensearch_url)


def is_resting() -> bool:
    """Whether it has failed this process just now, so that asking it would only cost time."""
    return time.monotonic() < _FAILED.get(settings().opensearch_url, 0.0)


def get_many(
    wanted: Sequence[tuple[str, int]], *, source: bool, seconds: float = PATIENCE
) -> list[dict[str, Any]]:
    """Documents by index and id, in this order, as `_mget` answers; they need not be refreshed."""
    docs = [{"_index": index, "_id": str(number), "_source": source} for index, number in wanted]
    answer = _ask(lambda client: client.mget(body={"docs": docs}, params={"request_timeout": seconds}))
    return _list(answer, "docs", len(docs))


def bulk(actions: Sequence[bytes]) -> list[dict[str, Any]]:
    """Carry out actions, each given as its lines of NDJSON; one answer each, in order: `status`, `error`.

    Raises NotTaken when the server does not take the body as a whole.
    """
    body = b"".join(actions)
    answer = _ask(lambda client: client.bulk(body=body, params={"request_timeout": PATIENCE}))
    return [next(iter(item.values())) for item in _list(answer, "items", len(actions))]


def ensure_template(name: str, body: dict[str, Any]) -> None:
    """Have an index template; one of that name that is there stays as it is."""
    if not _ask(lambda client: client.indices.exists_index_template(name=name)):
        _ask(lambda client: client.indices.put_index_template(name=name, body=body))


def _ask(request: Callable[["OpenSearch"], Any]) -> Any:
    with _in_words():
        return request(_client(settings().opensearch_url, os.getpid()))


def _list(answer: Any, name: str, count: int) -> list[dict[str, Any]]:
    """The list that the answer must hold: a proxy may answer anything."""
    found = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(found, list) or len(found) != count:
        raise Unavailable(
            f"what answers at {settings().opensearch_url} is no OpenSearch: {answer!r:.{WORDS}}"
        )
    return found


@contextmanager
def _in_words() -> Iterator[None]:
    from opensearchpy.exceptions import OpenSearchException, TransportError

    url = settings().opensearch_url
    try:
        yield
    except TransportError as error:
        if error.status_code in (400, TOO_LARGE):
            words = f"OpenSearch at {url} does not take a request: {error!s:.{WORDS}}"
            raise NotTaken(int(error.status_code), words) from error
        _FAILED[url] = time.monotonic() + REST
        raise Unavailable(f"OpenSearch at {url} fails: {error!s:.{WORDS}}") from error
    except (OpenSearchException, OSError) as error:
        _FAILED[url] = time.monotonic() + REST
        raise Unavailable(f"OpenSearch at {url} cannot be asked: {error!s:.{WORDS}}") from error
    _FAILED.pop(url, None)


@lru_cache(4)
def _client(url: str, pid: int) -> "OpenSearch":
    from opensearchpy import OpenSearch

    given = settings()
    options: dict[str, Any] = {}
    if given.opensearch_user:
        options["http_auth"] = (given.opensearch_user, given.opensearch_password.get_secret_value())
    if url.startswith("https:"):
        options["ssl_context"] = ssl.create_default_context(cafile=given.opensearch_ca or None)
    # Callers try again themselves, or do without.
    return OpenSearch([url], timeout=PATIENCE, max_retries=0, pool_maxsize=POOL, **options)
