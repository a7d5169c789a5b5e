"""What the provider carries to and fro for us: which login it is about, encrypted and authenticated."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

from cryptography.fernet import InvalidToken

from diracx_tasks.auth.sealed import fernet
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.core.settings import settings

PURPOSE = "state of a login"


@dataclass(frozen=True)
class Pending:
    """A login that is with the provider: `key` is a device's user code or an authorization flow's UUID.

    `verifier` is PKCE's for the provider; `state` is what the page that asked wants back; `browser` is the
    hash of what only the browser knows that began a device's; `subject` is who has logged in at the provider
    and has still to say that he wants it.
    """

    flow: Literal["device", "authorization"]
    key: str
    vo: str
    verifier: str
    redirect_uri: str = ""
    state: str = ""
    browser: str = ""
    subject: str = ""

    @property
    def seconds(self) -> float:
        """How long such a login may take."""
        found = settings()
        return found.device_flow_seconds if self.flow == "device" else found.authorization_flow_seconds


def seal(pending: Pending) -> str:
    """A text that only this installation's servers can read and make."""
    return fernet(PURPOSE).encrypt(json.dumps(asdict(pending), ensure_ascii=False).encode()).decode()


def unseal(text: str) -> Pending:
    """What was sealed; BadRequest when it was not by us, or longer ago than such a login may take."""
    ours = fernet(PURPOSE)
    try:
        found = Pending(**json.loads(ours.decrypt(text)))
        ours.decrypt(text, ttl=int(found.seconds))
    except (InvalidToken, ValueError, TypeError) as error:
        raise BadRequest("Invalid state") from error
    return found
