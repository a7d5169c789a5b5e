"""The command `diracx`: subjects are imported when they are used; errors become one line and an exit code."""

from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from diracx_tasks.cli.failures import DEBUG, in_words


class Subject(NamedTuple):
    """A subject of the command line: where it is, and its line in the help."""

    target: str
    help: str
    is_hidden: bool = False


SUBJECTS = {
    "workflows": Subject(
        "diracx_tasks.cli.workflows:workflows", "Submit CWL workflows, watch them, get their outputs."
    ),
    "jobs": Subject(
        "diracx_tasks.cli.jobs:jobs", "Submit jobs, see them, their logs and why they wait; kill them."
    ),
    "data": Subject("diracx_tasks.cli.data:data", "Store files under LFNs, list and fetch them."),
    "matching": Subject(
        "diracx_tasks.cli.matching:matching", "See what waits, which nodes ask, and what holds jobs back."
    ),
    "pilots": Subject(
        "diracx_tasks.cli.pilots:pilots", "See pilots, their logs, where they are sent; kill them."
    ),
    "sites": Subject("diracx_tasks.cli.sites:sites", "See sites and their queues; test, ban and allow them."),
    "usage": Subject("diracx_tasks.cli.usage:usage", "Say what jobs have used, by site, owner, ..."),
    "notices": Subject(
        "diracx_tasks.cli.notices:notices", "Be told by mail or webhook when something ends or needs you."
    ),
    "login": Subject("diracx_tasks.cli.login:login", "Log in to a VO."),
    "whoami": Subject("diracx_tasks.cli.login:whoami", "Say who you are to the server."),
    "logout": Subject("diracx_tasks.cli.login:logout", "End the login."),
    "up": Subject("diracx_tasks.cli.up:up", "Run everything on this machine."),
    "tasks": Subject("diracx_tasks.cli.tasks:tasks", "See and repeat the tasks behind it all."),
    "admin": Subject("diracx_tasks.cli.admin:admin", "Set up and check an installation."),
    "completion": Subject("diracx_tasks.cli.shell:completion", "Have the shell complete commands with TAB."),
    "man": Subject("diracx_tasks.cli.manual:man", "Print the manual page."),
    "job": Subject("diracx_tasks.cli.jobs:jobs", "As `jobs`.", is_hidden=True),
    "workflow": Subject("diracx_tasks.cli.workflows:workflows", "As `workflows`.", is_hidden=True),
    "demo": Subject("diracx_tasks.cli.demo:demo", "Run an example from start to end.", is_hidden=True),
}


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

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Have `--debug` hold wherever it stands on the line."""
        end = args.index("--") if "--" in args else len(args)
        if DEBUG in args[:end]:
            args = [DEBUG, *(one for one in args[:end] if one != DEBUG), *args[end:]]
        return super().parse_args(ctx, args)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context; wrong usage becomes one line."""
        with in_words():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what goes wrong becomes one line and an exit code."""
        with in_words(ctx):
            return super().invoke(ctx)


def _set_debug(ctx: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    ctx.meta[DEBUG] = is_wanted


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
    DEBUG,
    "is_debugged",
    is_flag=True,
    envvar="DIRACX_DEBUG",
    expose_value=False,
    callback=_set_debug,
    help="Show the traceback of an error; may stand anywhere.",
)
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
    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 killed, 4 login needed,
    5 server away, 33 unsupported CWL, 34 invalid CWL, 70 our mistake,
    130 interrupted.
    """


def main() -> None:
    """Run the command line and exit with its code."""
    cli(prog_name="diracx")


if __name__ == "__main__":
    main()
