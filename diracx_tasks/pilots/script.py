"""The script that starts a pilot on a worker node."""

import shlex

from diracx_tasks.auth.tokens import issue_pilot
from diracx_tasks.core.settings import settings
from diracx_tasks.pilots.elements import PilotScript
from diracx_tasks.pilots.queues import Queue

# A pilot may wait long in a queue, and runs as long as the queue lets it.
TOKEN_SECONDS = 14 * 86400


def script(vo: str, queue: Queue, stamp: str, secret: str) -> PilotScript:
    """A script that runs `diracx-pilot` of the node's installed package for a VO."""
    stated = {
        "DIRACX_URL": settings().url,
        "DIRACX_TOKEN": issue_pilot(vo, stamp, seconds=TOKEN_SECONDS),
        "DIRACX_PILOT_STAMP": stamp,
    }
    command = ["diracx-pilot", "--site", queue.site, "--ce", queue.ce, "--cores", str(queue.processors)]
    command += ["--ram-mb", str(queue.ram_mb)] if queue.ram_mb else []
    command += [part for tag in (*queue.tags, queue.tag) for part in ("--tag", tag)]
    lines = ["#!/bin/sh", *(f"export {name}={shlex.quote(value)}" for name, value in stated.items())]
    return PilotScript(stamp, "\n".join([*lines, f"exec {shlex.join(command)} --idle-seconds 300", ""]))
