"""Page tokens of runs: opaque to clients, to us the number of the last workflow that was shown."""

import base64
import binascii

from diracx_api.models.fields import LARGEST
from diracx_tasks.core.errors import BadRequest

MOST = 1000


def token(workflow_id: int) -> str:
    """The token of the page after the one that ends with this workflow."""
    return base64.urlsafe_b64encode(b"run %d" % workflow_id).decode()


def number(page_token: str) -> int | None:
    """The workflow that a token names, None without one; BadRequest when it is none of ours."""
    if not page_token:
        return None
    try:
        word, _, digits = base64.urlsafe_b64decode(page_token.encode()).partition(b" ")
        found = int(digits)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"{page_token!r} is not a page_token of this list") from error
    if word != b"run" or not 0 <= found <= LARGEST:
        raise BadRequest(f"{page_token!r} is not a page_token of this list")
    return found
