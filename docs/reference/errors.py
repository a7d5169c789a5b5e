"""Every class of error: its HTTP status and the command line's exit code."""

from collections.abc import Iterator

from diracx_api import app
from diracx_tasks.cli import main
from diracx_tasks.core.errors import ApiError, DiracXError
from docs.reference.text import code, sentence, table

__all__ = ["errors"]
# Whoever raises errors of its own is loaded by these.
LOADED = (app, main)


def errors() -> str:
    """A table of the errors of servers and command line, by status."""
    found = sorted(set(_below(DiracXError)) - {ApiError}, key=lambda one: (one.http_status, one.__name__))
    rows = [
        (code(_name(one)), str(one.http_status), str(one.exit_code), sentence(one.__doc__)) for one in found
    ]
    return table(("error", "HTTP status", "exit code", "when"), rows)


def _name(error: type[DiracXError]) -> str:
    """The class, with its module: two subjects may have one of a name."""
    return f"{error.__module__.partition('.')[2]}.{error.__name__}"


def _below(error: type[DiracXError]) -> Iterator[type[DiracXError]]:
    yield error
    for one in error.__subclasses__():
        yield from _below(one)
