"""The command `diracx`: subjects are imported when they are used; errors become one line and an exit code."""

import errno
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from diracx_tasks.core.errors import ApiError, DiracXError, InvalidCwl

INTERRUPTED = 130
# Where a command leaves the local paths of the documents that it sends, for the places of complaints.
PLACES = "diracx.places"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Subject(NamedTuple):
    """A subject of the command line: where it is, and its line in the help."""

    target: str
    help: str
    is_hidden: bool = False


SUBJECTS = {
    "workflows": Subject(
        "diracx_tasks.cli.workflows:workflows", "Submit CWL workflows, watch them, get their outputs."
    ),
    "jobs": Subject("diracx_tasks.cli.jobs:jobs", "See jobs, their logs and why they wait; kill them."),
    "data": Subject("diracx_tasks.cli.data:data", "Store files under LFNs, list and fetch them."),
    "matching": Subject(
        "diracx_tasks.cli.matching:matching", "See what waits, which nodes ask, and what holds jobs back."
    ),
    "pilots": Subject(
        "diracx_tasks.cli.pilots:pilots", "See pilots, their logs, where they are sent; kill them."
    ),
    "sites": Subject("diracx_tasks.cli.sites:sites", "See sites and their queues; test, ban and allow them."),
    "usage": Subject("diracx_tasks.cli.usage:usage", "Say what jobs have used, by site, owner, ..."),
    "login": Subject("diracx_tasks.cli.login:login", "Log in to a VO."),
    "whoami": Subject("diracx_tasks.cli.login:whoami", "Say who you are to the server."),
    "logout": Subject("diracx_tasks.cli.login:logout", "End the login."),
    "up": Subject("diracx_tasks.cli.up:up", "Run everything on this machine."),
    "tasks": Subject("diracx_tasks.cli.tasks:tasks", "See and repeat the tasks behind it all."),
    "admin": Subject("diracx_tasks.cli.admin:admin", "Set up and check an installation."),
    "demo": Subject("diracx_tasks.cli.demo:demo", "Run an example from start to end.", is_hidden=True),
}


class Refused(click.ClickException):
    """An error of ours as click shows errors; `known` is the context's `meta`."""

    def __init__(self, error: DiracXError, known: Mapping[str, Any]) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc]  # click's own subclasses do this as well
        self.error = error
        self.known = known

    def show(self, file: IO[Any] | None = None) -> None:
        """One line, and every complaint about a document at its place."""
        click.echo(f"diracx: {headline(self.error)}", file=file, err=True)
        for complaint in complaints(self.error, self.known.get(PLACES, {})):
            click.echo(complaint, file=file, err=True)


class Subjects(click.Group):
    """A group that knows the help lines of its subjects without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names that are not hidden."""
        return [name for name, subject in SUBJECTS.items() if not subject.is_hidden]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in SUBJECTS:
            return None
        module, _, name = SUBJECTS[cmd_name].target.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant; an unknown one is answered with those that look alike."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=self.list_commands(ctx), ctx=ctx
            ) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the section of the help that lists the subjects."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUBJECTS[name].help) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The subjects and options that begin like this."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        subjects = [CompletionItem(name, help=SUBJECTS[name].help) for name in names]
        return [*subjects, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what goes wrong becomes an exit code."""
        try:
            return super().invoke(ctx)
        except DiracXError as error:
            raise Refused(error, ctx.meta) from error
        except OSError as error:
            if error.errno == errno.EPIPE or error.filename is None:
                raise
            raise Refused(DiracXError(f"{error.filename}: {error.strerror}"), {}) from error
        except (KeyboardInterrupt, click.Abort):
            # The terminal has just written ^C, without an end of line.
            click.echo("\ndiracx: interrupted" if sys.stderr.isatty() else "diracx: interrupted", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None


def one_line(text: str) -> str:
    """The text without line ends and other control characters."""
    return CONTROL.sub(" ", text).strip()


def headline(error: DiracXError) -> str:
    """An error in one line."""
    if not (found := _diagnostics(error)):
        return one_line(str(error))
    what = "CWL that is not supported here" if error.exit_code == 33 else "invalid CWL"
    count = sum(one.get("severity", "error") == "error" for one in found)
    return f"{what}, {count} error{'s' if count != 1 else ''}"


def complaints(error: DiracXError, places: Mapping[str, Path]) -> Iterator[str]:
    """Each diagnostic with its line of the text and its advice; `places` are local paths by name."""
    for one in _diagnostics(error):
        # What is found here, before anything is sent, names local files.
        is_local = isinstance(error, InvalidCwl) and one.get("file")
        yield complaint(one, {one["file"]: Path(one["file"])} if is_local else places)


def complaint(one: Mapping[str, Any], places: Mapping[str, Path]) -> str:
    """A diagnostic as compilers write it: `file:line:col: message`, the line, a caret, advice."""
    name, line, column = one.get("file"), one.get("line"), one.get("column")
    path = places.get(name or "")
    place = ":".join(str(part) for part in (path or name, line, column) if part)
    mark = "" if one.get("severity", "error") == "error" else f"{one['severity']}: "
    found = [
        f"{place}: {mark}{one_line(str(one.get('message')))}" if place else one_line(str(one["message"]))
    ]
    if path and line:
        found += _source(path, line, column or 0)
    if one.get("advice"):
        found.append(f"    advice: {one_line(one['advice'])}")
    return "\n".join(found)


def _source(path: Path, line: int, column: int) -> list[str]:
    try:
        text = path.read_text(errors="replace").splitlines()[line - 1]
    except (OSError, IndexError):
        return []
    # A packed document may have everything on one line.
    start = max(0, column - 60)
    shown = CONTROL.sub(" ", text.expandtabs(1))[start : start + 100]
    return [f"    {shown}", *([f"    {' ' * (column - 1 - start)}^"] if column else [])]


def _diagnostics(error: DiracXError) -> list[dict[str, Any]]:
    if isinstance(error, InvalidCwl):
        return error.diagnostics
    body = error.body if isinstance(error, ApiError) else None
    found = body.get("diagnostics") if isinstance(body, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _show_version(ctx: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if not is_wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"diracx {version('diracx-celery')}")
    except PackageNotFoundError:
        click.echo("diracx, not installed: run from its source")
    ctx.exit()


@click.group(cls=Subjects, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Run CWL workflows as jobs, here or on the grid.

    The server is DIRACX_URL, else the one you have logged in to, else the one that `diracx up` has started
    on this machine. Who you are says DIRACX_TOKEN, else `diracx login`, else `diracx up`.

    \b
    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 killed, 4 login needed, 5 server away,
    33 unsupported CWL, 34 invalid CWL, 130 interrupted.
    """


def main() -> None:
    """Run the command line and exit with its code."""
    cli(prog_name="diracx")


if __name__ == "__main__":
    main()
