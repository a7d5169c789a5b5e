"""HTTP to identity providers: short, small, and to no address but the one that is asked for."""

import json
from typing import Any
from urllib.parse import urlencode

import urllib3

from diracx_tasks.core.errors import DiracXError

MOST_BYTES = 1 << 20
# A browser waits for it, and one of our threads.
TIMEOUT = urllib3.Timeout(connect=3, read=7)
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_POOL = urllib3.PoolManager(num_pools=64, maxsize=4, timeout=TIMEOUT, retries=False)


class ProviderAway(DiracXError):
    """The identity provider does not answer, or not as one should."""

    http_status = 502


def get(url: str) -> dict[str, Any]:
    """The JSON object at an address."""
    answer = _asked("GET", url, headers={"Accept": "application/json"})
    if answer.status != 200:
        raise ProviderAway(f"Failed to contact IAM server: {url} answers {answer.status}")
    return _json(answer, url)


def post(url: str, form: dict[str, str]) -> dict[str, Any] | None:
    """The JSON object that a form gets; None when it is refused as 4xx."""
    answer = _asked("POST", url, body=urlencode(form), headers=FORM)
    if 400 <= answer.status < 500 and answer.status != 429:
        return None
    if answer.status != 200:
        raise ProviderAway(f"Failed to contact IAM server: {url} answers {answer.status}")
    return _json(answer, url)


def _asked(method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
    try:
        return _POOL.request(method, url, redirect=False, preload_content=False, **options)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise ProviderAway("Failed to contact IAM server") from error


def _json(answer: urllib3.BaseHTTPResponse, url: str) -> dict[str, Any]:
    try:
        data = answer.read(MOST_BYTES + 1, decode_content=True)
        answer.release_conn()
        found = json.loads(data) if len(data) <= MOST_BYTES else None
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise ProviderAway(f"Failed to contact IAM server: what {url} sends is no JSON") from error
    if not isinstance(found, dict):
        raise ProviderAway(f"Failed to contact IAM server: what {url} sends is no JSON object")
    return found
