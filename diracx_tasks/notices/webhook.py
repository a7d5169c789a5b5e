"""One call of a user's webhook: JSON, signed, to an address that was checked."""

import hashlib
import hmac
import json
from typing import Any

import urllib3

from diracx_tasks.core.errors import BadRequest, Unavailable
from diracx_tasks.notices.reach import Target, addresses_of, target_of
from diracx_tasks.notices.refused import Refused

TIMES = urllib3.Timeout(connect=10, read=15, total=25)
# What of the answer is read, for the words about a refusal.
READ = 200
LATER = (408, 425, 429)


def send(url: str, secret: str, body: dict[str, Any], token: str) -> None:
    """Post JSON; raises Refused when it is not taken, Unavailable when trying again may help."""
    data = json.dumps(body).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "DiracX-Celery",
        "X-DiracX-Delivery": token,
        "X-DiracX-Signature": f"sha256={signature(secret, data)}",
    }
    try:
        target = target_of(url)
        status, words = _posted(target, data, headers)
    except BadRequest as error:
        raise Refused(str(error)) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unavailable(f"the webhook at {target.host} does not answer: {_reason(error)}") from error
    if 200 <= status < 300:
        return
    text = f"the webhook at {target.host} answers {status}" + (f": {words}" if words else "")
    raise Unavailable(text) if status >= 500 or status in LATER else Refused(text)


def signature(secret: str, data: bytes) -> str:
    """The HMAC-SHA256 of a body in hex: who knows the secret sees that it comes from here."""
    return hmac.new(secret.encode(), data, hashlib.sha256).hexdigest()


def _posted(target: Target, data: bytes, headers: dict[str, str]) -> tuple[int, str]:
    *others, last = addresses_of(target)
    for address in others:
        try:
            return _post(target, address, data, headers)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
            # It was not connected: nothing was sent.
            continue
    return _post(target, last, data, headers)


def _post(target: Target, address: str, data: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """Status and first words of the answer; redirects are not followed."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    is_usual = target.port == {"https": 443, "http": 80}[target.scheme]
    named = {**headers, "Host": host if is_usual else f"{host}:{target.port}"}
    options: dict[str, Any] = {"timeout": TIMES, "retries": False, "maxsize": 1}
    # To the address that was checked, with the certificate of the name.
    with (
        urllib3.HTTPSConnectionPool(
            address, target.port, assert_hostname=target.host, server_hostname=target.host, **options
        )
        if target.scheme == "https"
        else urllib3.HTTPConnectionPool(address, target.port, **options)
    ) as pool:
        answer = pool.urlopen(
            "POST", target.path, body=data, headers=named, redirect=False, preload_content=False
        )
        try:
            words = answer.read(READ, decode_content=False).decode(errors="replace")
        finally:
            answer.close()
    return answer.status, " ".join("".join(one if one.isprintable() else " " for one in words).split())


def _reason(error: BaseException) -> str:
    """What went wrong, without the addresses and objects that urllib3 puts before it."""
    return str(error).rpartition(": ")[2][:300] or type(error).__name__
