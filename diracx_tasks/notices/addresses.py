"""Addresses for mail: plain ones only, so that no header can be made of one."""

import re

from diracx_tasks.core.errors import BadRequest

LONGEST = 254
# The dot-atoms of RFC 5322 at a host's name; neither quotes nor comments nor anything beyond ASCII.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")


def mail_address(text: str) -> str:
    """The address without spaces around it; BadRequest when it is none."""
    found = text.strip()
    local = found.rpartition("@")[0]
    if len(found) > LONGEST or len(local) > 64 or not ADDRESS.fullmatch(found):
        shown = "".join(letter if letter.isprintable() else "?" for letter in found[:80])
        raise BadRequest(f"{shown!r} is no mail address: it must look like name@host.example")
    return found
