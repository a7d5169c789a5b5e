"""Which page of ours a task is about."""

import re
from urllib.parse import quote

NUMBERED = re.compile(r"(workflow|job)-([0-9]{1,18})")
# What a pilot that is sent from here is known by.
STAMP = re.compile(r"[0-9a-f]{32}")


def page_of(subject: str | None) -> str:
    """The address of the page of a subject such as `workflow-42`; empty when it has none."""
    if found := NUMBERED.fullmatch(subject or ""):
        return f"/ui/{found[1]}s/{found[2]}"
    return f"/ui/pilots/{subject}" if STAMP.fullmatch(subject or "") else ""


def task_page(key: str) -> str:
    """The address of the page of a task's key."""
    return f"/ui/operate/task/{quote(key, safe='')}"
