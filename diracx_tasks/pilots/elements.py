"""Computing elements: where pilots are submitted, asked for and killed, whatever batch system is behind.

Their kinds are `local`, `slurm`, `htcondor` and `ssh`; a package adds one with an entry point of `GROUP`,
which makes a `ComputingElement` of the element's name and its section of the configuration.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, NamedTuple, Protocol

from diracx_tasks.core.errors import DiracXError, SettingsError

GROUP = "diracx.computing_elements"
OURS = {
    "local": "local:Local",
    "slurm": "slurm:Slurm",
    "htcondor": "htcondor:HTCondor",
    "ssh": "ssh:over_ssh",
}


class Refused(DiracXError):
    """A batch system does not want what it was asked for; the words are its own."""

    http_status = 502


class PilotScript(NamedTuple):
    """A shell script that starts one pilot; it holds a secret: no command line and no log may show it."""

    stamp: str
    text: str


class State(StrEnum):
    """How a pilot is in its batch system, in DIRAC's words."""

    WAITING = "Waiting"
    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"
    ABORTED = "Aborted"
    UNKNOWN = "Unknown"


class Told(NamedTuple):
    """What a batch system says of a pilot."""

    state: State
    reason: str = ""


class ComputingElement(Protocol):
    """What is done at a computing element. All of it raises Unavailable when the element does not answer."""

    def submit(self, queue: str, pilots: Sequence[PilotScript]) -> dict[str, str]:
        """Submit pilots; answers the references of those that were taken, by stamp.

        A reference is never the stamp itself. Raises Refused when none was taken, and Unavailable when it is
        not known which: `find` knows it.
        """

    def find(self, stamps: Collection[str]) -> dict[str, str]:
        """The references of those stamps that the batch system has, or had in the last days."""

    def status(self, references: Collection[str]) -> dict[str, Told]:
        """How each is; what the batch system knows no more is Unknown.

        References that the element has not given, above all before its kind was changed, are left out.
        """

    def kill(self, references: Collection[str]) -> None:
        """End pilots; those that have ended, or are not its own, are left alone. Raises Refused."""

    def output(self, reference: str) -> tuple[str, str]:
        """The ends of standard output and standard error, up to 1 MB each; empty when there is none."""


def kinds() -> list[str]:
    """The names that `CEType` may have."""
    return sorted({*OURS, *(point.name for point in entry_points(group=GROUP))})


def element(name: str, options: Mapping[str, Any]) -> ComputingElement:
    """The computing element of a name, by `CEType` of its section of the configuration.

    Raises SettingsError when the kind is not known or the section lacks something.
    """
    kind = str(options.get("CEType", ""))
    if kind.lower() in OURS:
        module, _, maker = OURS[kind.lower()].partition(":")
        make = getattr(import_module(f"diracx_tasks.pilots.computing.{module}"), maker)
    else:
        make = _of_a_package(name, kind)
    made: ComputingElement = make(name, options)
    return made


def _of_a_package(name: str, kind: str) -> Callable[..., Any]:
    for point in entry_points(group=GROUP):
        if point.name == kind:
            found: Callable[..., Any] = point.load()
            return found
    known = ", ".join(kinds())
    raise SettingsError(f"there is no CEType {kind or '(none)'} for {name}; there are {known} ({GROUP})")
