"""What goes wrong in a command: one line with what to do, and an exit code; with `--debug` its traceback."""

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from diracx_tasks.cli.complaints import PLACES, complaints, headline, one_line
from diracx_tasks.core.errors import DiracXError, Unreachable

DEBUG = "--debug"
URL = "DIRACX_URL"
# Click's words for a number with bounds.
NO_NUMBER = "is not a valid integer range"
USAGE, UNEXPECTED, INTERRUPTED = 2, 70, 130
# What a disk says while one writes to an open file, whose name the error does not know.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Refused(click.ClickException):
    """One line about what went wrong, with more lines below it, and the exit code."""

    def __init__(self, words: str, code: int, more: Iterator[str] | tuple[str, ...] = ()) -> None:
        super().__init__(one_line(words))
        self.exit_code = code  # type: ignore[misc]  # click's own subclasses do this as well
        self.more = more

    def show(self, file: IO[Any] | None = None) -> None:
        """The line, and every complaint about a document at its place."""
        click.echo(f"diracx: {self.message}", file=file, err=True)
        for line in self.more:
            click.echo(line, file=file, err=True)


@contextmanager
def in_words(ctx: click.Context | None = None) -> Iterator[None]:
    """Errors that leave the block become a `Refused`; their tracebacks are shown if the context says so."""
    known: dict[str, Any] = ctx.meta if ctx else {}
    try:
        yield
    except (click.exceptions.NoArgsIsHelpError, click.exceptions.Exit, Refused):
        raise
    except click.ClickException as error:
        raise _of_click(error) from error
    except (KeyboardInterrupt, click.Abort):
        # The terminal has just written ^C, without an end of line.
        click.echo("\ndiracx: interrupted" if sys.stderr.isatty() else "diracx: interrupted", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            raise
        if known.get(DEBUG):
            traceback.print_exc()
        raise _refused(error, known) from error


def of_files(error: OSError) -> str:
    """What a folder, a file or a disk has refused; empty when it is about none of these."""
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return f"cannot write: {error.strerror}" if error.errno in FULL else ""


def _of_click(error: click.ClickException) -> Refused:
    see = ""
    if isinstance(error, click.UsageError):
        ctx = error.ctx or click.get_current_context(silent=True)
        see = f"see `{ctx.command_path} --help`" if ctx else ""
    words = error.format_message().rstrip(".").replace(NO_NUMBER, "is not a whole number")
    if see:
        words += f" S{see[1:]}" if words.endswith("?") else f"; {see}"
    return Refused(words, error.exit_code)


def _refused(error: Exception, known: dict[str, Any]) -> Refused:
    if isinstance(error, DiracXError):
        words = headline(error)
        if isinstance(error, Unreachable) and URL not in words:
            words += f"; does it run, and is {URL} right?"
        return Refused(words, error.exit_code, complaints(error, known.get(PLACES, {})))
    if isinstance(error, OSError) and (told := of_files(error)):
        return Refused(told, DiracXError.exit_code)
    told = "" if known.get(DEBUG) else "; run it again with --debug to see where"
    return Refused(f"unexpected {type(error).__name__}: {error}{told}", UNEXPECTED)
