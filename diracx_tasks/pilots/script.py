"""The shell script that a batch system runs on a worker node: fetches the pilot's one file and starts it."""

import shlex
from collections.abc import Mapping
from importlib.resources import files
from urllib.parse import urlencode

from diracx_tasks.core.settings import settings
from diracx_tasks.pilots import pilot_file
from diracx_tasks.pilots.computing.options import Options
from diracx_tasks.pilots.elements import PilotScript
from diracx_tasks.pilots.package import NAME
from diracx_tasks.pilots.queues import Queue

IDLE_SECONDS = 300
# While the API is restarted, or makes the file.
PAUSES = (2, 4, 8, 15, 30, 60, 60, 60, 60)


class NodeOptions(Options):
    """What the section of an element or a queue may say of its nodes.

    `PilotPython` is the Python there, `PilotInstalled` says that `diracx-pilot` is installed there.
    """

    PilotPython: str = ""
    PilotInstalled: bool = False


def script(vo: str, queue: Queue, stamp: str, secret: str) -> PilotScript:
    """A script of plain `sh` that runs a pilot of a VO; who has it can be this pilot once.

    The secret is in its text alone: no command that it runs has it among its arguments, and none but the
    pilot in its environment.
    """
    stated = NodeOptions.of(queue.ce, queue.ce_options, queue.name)
    named = {"DIRACX_URL": settings().url, "DIRACX_PILOT_STAMP": stamp}
    last = f"export DIRACX_PILOT_SECRET={shlex.quote(secret)}"
    lines = ["#!/bin/sh", f"# A pilot of {_plain(vo)}. It holds a secret.", "set +x", "umask 077"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in named.items() if value]
    if stated.PilotInstalled:
        start = f"{_beside(stated.PilotPython)}diracx-pilot"
        return PilotScript(stamp, "\n".join([*lines, last, f"exec {start} {_arguments(queue)}", ""]))
    lines += [f"{name}={shlex.quote(value)}" for name, value in _fetched(stated).items()]
    lines.append((files("diracx_tasks.pilots") / "on_node.sh").read_text())
    start = f'exec "$python" -I "$folder/$name" --work-dir "$folder" {_arguments(queue)}'
    return PilotScript(stamp, "\n".join([*lines, last, start, ""]))


def _fetched(stated: NodeOptions) -> Mapping[str, str]:
    """What the part of the script that fetches the file is told."""
    checksum = pilot_file.current().sha256
    return {
        "address": f"{settings().url.rstrip('/')}/api/pilots/{NAME}?{urlencode({'sha256': checksum})}",
        "checksum": checksum,
        "wanted": stated.PilotPython,
        "pauses": " ".join(map(str, PAUSES)),
    }


def _arguments(queue: Queue) -> str:
    """The pilot's own options, from what its queue offers."""
    found = ["--site", queue.site, "--ce", queue.ce, "--queue", queue.name, "--cores", str(queue.processors)]
    found += ["--ram-mb", str(queue.ram_mb)] if queue.ram_mb else []
    found += ["--wall-seconds", str(queue.max_wall_seconds)] if queue.max_wall_seconds else []
    found += [part for tag in (*queue.tags, queue.tag) for part in ("--tag", tag)]
    found += [part for tag in queue.required_tags for part in ("--required-tag", tag)]
    return shlex.join([*found, "--idle-seconds", str(IDLE_SECONDS)])


def _beside(python: str) -> str:
    """The folder of the programs of a Python that is stated with its path."""
    folder, slash, _ = python.rpartition("/")
    return shlex.quote(f"{folder}{slash}") if slash else ""


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())
