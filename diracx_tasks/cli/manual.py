"""`diracx man`: the manual page, made of the commands themselves."""

import re
from collections.abc import Iterator

import click

EXIT_CODES = {
    0: "done",
    1: "failed, or refused by the server",
    2: "wrong usage",
    3: "killed",
    4: "login needed",
    5: "the server does not answer",
    33: "the CWL asks for something that is not supported",
    34: "the CWL or its inputs are wrong",
    70: "a mistake of ours: --debug shows where",
    130: "interrupted with Ctrl-C",
}
ENVIRONMENT = {
    "DIRACX_URL": "The server.",
    "DIRACX_TOKEN": "An access token, instead of a login.",
    "DIRACX_OUTPUT": "How to print: table, json or id; as -o.",
    "DIRACX_DEBUG": "If it is 1, errors show their traceback; as --debug.",
    "DIRACX_CREDENTIALS_PATH": "The file that keeps the login.",
    "DIRACX_DATA": "The folder of what `diracx up` runs.",
    "BROWSER": "The browser that `diracx login` opens.",
    "NO_COLOR": "If it is set, nothing is coloured.",
    "COLUMNS": "The width of tables.",
}
FILES = {
    "~/.cache/diracx/credentials.json": "The login, shared with the official command line.",
    "~/.local/share/diracx": "What `diracx up` keeps.",
}
CODE = re.compile(r"`([^`]*)`")


@click.command()
def man() -> None:
    """Print the manual page: `diracx man | man -l -` shows it.

    \b
    diracx man > ~/.local/share/man/man1/diracx.1   has `man diracx` find it
    """
    root = click.get_current_context().find_root()
    for line in _page(root):
        click.echo(line)


def _page(root: click.Context) -> Iterator[str]:
    yield f'.TH DIRACX 1 "" "{_version()}" "User Commands"'
    yield from (".SH NAME", r"diracx \- CWL workflows and jobs, here or on the grid")
    yield from (".SH SYNOPSIS", ".B diracx", r"[\-\-debug] \fICOMMAND\fR ...")
    yield ".SH DESCRIPTION"
    yield from _paragraphs(root.command.help or "")
    yield ".SH OPTIONS"
    yield from _options(root)
    yield ".SH COMMANDS"
    for ctx in _commands(root):
        yield from _command(ctx)
    for title, pairs in (("EXIT STATUS", EXIT_CODES), ("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)):
        yield f".SH {title}"
        for name, words in pairs.items():
            yield from (".TP", f".B {_plain(str(name))}", _text(words))


def _commands(parent: click.Context) -> Iterator[click.Context]:
    """All commands that are not hidden, a group before its commands."""
    assert isinstance(parent.command, click.Group)
    for name in parent.command.list_commands(parent):
        command = parent.command.get_command(parent, name)
        if command is None or command.hidden:
            continue
        ctx = command.context_class(command, info_name=name, parent=parent)
        yield ctx
        if isinstance(command, click.Group):
            yield from _commands(ctx)


def _command(ctx: click.Context) -> Iterator[str]:
    pieces = " ".join(ctx.command.collect_usage_pieces(ctx))
    yield from (f'.SS "{_plain(ctx.command_path)}"', f".B {_plain(ctx.command_path)}", _plain(pieces))
    yield from _paragraphs(ctx.command.help or "")
    yield from _options(ctx)


def _options(ctx: click.Context) -> Iterator[str]:
    for parameter in ctx.command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        # Arguments stand in the line above, and every command has --help.
        if record and record[1] and (ctx.parent is None or "--help" not in parameter.opts):
            yield from (".TP", f".B {_plain(record[0])}", _text(record[1]))


def _paragraphs(text: str) -> Iterator[str]:
    for part in re.split(r"\n\s*\n", text.partition("\f")[0].strip()):
        lines = [line.strip() for line in part.splitlines()]
        if lines and lines[0] == "\b":
            yield from (".PP", ".nf", *map(_text, lines[1:]), ".fi")
        else:
            yield from (".PP", _text(" ".join(lines)))


def _text(words: str) -> str:
    """A line of text; what stands in backquotes is bold."""
    parts = CODE.split(" ".join(words.split()))
    return "".join(
        rf"\fB{_plain(part)}\fR" if number % 2 else _plain(part) for number, part in enumerate(parts)
    )


def _plain(words: str) -> str:
    """Words in which roff finds nothing to be carried out."""
    found = words.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("~", r"\(ti")
    return rf"\&{found}" if found.startswith((".", "\\(aq")) else found.replace('"', r"\(dq")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"diracx {version('diracx-celery')}"
    except PackageNotFoundError:
        return "diracx"
