"""What both ways to log in share: whose login it was, how codes are stored, and which client may ask."""

import hashlib
from dataclasses import dataclass

from diracx_tasks.core.errors import BadRequest
from diracx_tasks.core.settings import settings


@dataclass(frozen=True)
class Login:
    """Somebody has logged in: his subject at the VO's provider, and the scope that was asked for."""

    scope: str
    subject: str


def hashed(code: str) -> str:
    """A code as it is stored: who reads the database cannot use it."""
    return hashlib.sha256(code.encode()).hexdigest()


def must_be_ours(client_id: str, words: str) -> None:
    """BadRequest with these words unless it is the client id of this installation."""
    if client_id != settings().client_id:
        raise BadRequest(words)
