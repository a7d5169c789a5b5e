"""The whole command line: every command with its help, arguments and options."""

import re
from collections.abc import Iterator
from inspect import cleandoc

import click

from diracx_tasks.cli.main import cli
from diracx_tasks.cli.runner import main as runner
from diracx_tasks.node.pilot import main as pilot
from docs.reference.text import table

PROGRAMS: dict[str, click.Command] = {"diracx": cli, "diracx-cwl-runner": runner, "diracx-pilot": pilot}
# In the words of the help `\b` keeps the lines of a paragraph as they are.
AS_IT_IS = "\b\n"


def commands() -> str:
    """A section for each program and each of its commands, with headings to link to."""
    return "\n\n".join(_section(ctx) for name, program in PROGRAMS.items() for ctx in contexts(program, name))


def contexts(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[click.Context]:
    """A command and all below it, as click sees them; hidden ones are left out."""
    ctx = click.Context(command, parent=parent, info_name=name, max_content_width=1000)
    yield ctx
    if isinstance(command, click.Group):
        for sub in command.list_commands(ctx):
            found = command.get_command(ctx, sub)
            if found is not None and not found.hidden:
                yield from contexts(found, sub, ctx)


def _section(ctx: click.Context) -> str:
    level = "##" if ctx.parent is None else "###" if ctx.parent.parent is None else "####"
    parts = [f"{level} {ctx.command_path}", _words(ctx.command.help or "")]
    if not isinstance(ctx.command, click.Group):
        parts.insert(1, f"    {' '.join([ctx.command_path, *ctx.command.collect_usage_pieces(ctx)])}")
    records = [param.get_help_record(ctx) for param in ctx.command.params]
    # Arguments say nothing but their names, which the usage has.
    rows = [(f"`{names}`", _escaped(words)) for names, words in filter(None, records) if words]
    return "\n\n".join([*parts, table(("option", "says"), rows)] if rows else parts)


def _words(text: str) -> str:
    paragraphs = [
        "\n".join(f"    {line}" for line in part.removeprefix(AS_IT_IS).splitlines())
        if part.startswith(AS_IT_IS)
        else _escaped(part)
        for part in cleandoc(text).split("\n\n")
    ]
    return "\n\n".join(paragraphs)


def _escaped(text: str) -> str:
    """Help is no Markdown: what looks like a link or a tag is neither."""
    return re.sub(r"([<*\[\]_])(?=[^`]*(?:`[^`]*`[^`]*)*$)", r"\\\1", text)
