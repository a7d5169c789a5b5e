"""The GPUs of this node that the pilot may give to jobs."""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from diracx_tasks.node.order import VISIBLE

SECONDS = 20
LIST = ("nvidia-smi", "--query-gpu=index,uuid,memory.total,compute_cap", "--format=csv,noheader,nounits")

_card = re.compile(r"\s*(\d+)\s*,\s*(GPU-[\w-]+)\s*,\s*(\d+)\s*,\s*(\d+\.\d+)\s*", re.ASCII).fullmatch


class Card(NamedTuple):
    """One GPU: its names, its memory, what it can do as CUDA counts it."""

    number: str
    uuid: str
    ram_mb: int
    capability: str


def cards() -> list[Card]:
    """Those that the batch system has given to this pilot: all, unless CUDA_VISIBLE_DEVICES names some."""
    found = listed(output(*LIST))
    stated = os.environ.get(VISIBLE)
    return found if stated is None else list(_named(stated, found))


def listed(text: str) -> list[Card]:
    """The cards of a list, a line each; what is none is left out."""
    found = (_card(line) for line in text.splitlines())
    return [Card(one[1], one[2], int(one[3]), one[4]) for one in found if one]


def fields(found: Sequence[Card]) -> dict[str, Any]:
    """What a match request says of GPUs. Of different cards each number is the least: a job may get any."""
    if not found:
        return {}
    return {
        "gpus": len(found),
        "gpu_ram_mb": min(one.ram_mb for one in found),
        "gpu_vendor": "nvidia",
        "compute_capability": min(
            (one.capability for one in found), key=lambda text: [int(part) for part in text.split(".")]
        ),
    }


def output(*command: str) -> str:
    """What a command prints; nothing when there is no such command or it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _named(stated: str, found: Sequence[Card]) -> Iterator[Card]:
    """The cards of CUDA_VISIBLE_DEVICES: numbers or beginnings of UUIDs, up to the first that is none."""
    for name in (one.strip() for one in stated.split(",")):
        one = [card for card in found if name == card.number or (name and card.uuid.startswith(name))]
        if len(one) != 1:
            return
        yield one[0]
