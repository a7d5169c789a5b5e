"""Pilots that do little, and waiting for what becomes of them."""

import time
from collections.abc import Collection
from uuid import uuid4

from diracx_tasks.pilots.elements import ComputingElement, PilotScript, State, Told

ENDED = {State.DONE, State.FAILED, State.ABORTED}


def pilot(*commands: str) -> PilotScript:
    """A pilot that runs commands of a shell."""
    return PilotScript(uuid4().hex, "\n".join(["#!/bin/sh", *commands, ""]))


def pilots(number: int, *commands: str) -> list[PilotScript]:
    """Some that all run the same."""
    return [pilot(*commands) for _ in range(number)]


def until(element: ComputingElement, reference: str, states: Collection[State] = ENDED) -> Told:
    """What is said of a pilot when it is in one of the states."""
    return all_until(element, [reference], states)[reference]


def all_until(
    element: ComputingElement, references: Collection[str], states: Collection[State] = ENDED
) -> dict[str, Told]:
    """The same of many."""
    deadline = time.monotonic() + 60
    while True:
        told = element.status(references)
        if all(one.state in states for one in told.values()):
            return told
        assert time.monotonic() < deadline, told
        time.sleep(0.1)
