"""Groups of commands that know other words for some of them, and which one is meant where none is named."""

from collections.abc import Callable, Sequence
from typing import Any

import click

# A first sentence is not cut: it goes on in the next line.
WHOLE = 1000
LIST = "list"

Meant = Callable[[Sequence[str]], str | None]


class Group(click.Group):
    """A group in which `unlisted` commands work as well, and `meant` says which one goes without its name."""

    def __init__(self, *args: Any, meant: Meant | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.unlisted: dict[str, click.Command] = {}
        self._meant = meant

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command under one of its names."""
        return super().get_command(ctx, cmd_name) or self.unlisted.get(cmd_name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the name of the command that is meant before its arguments."""
        return super().parse_args(ctx, self.named(ctx, args))

    def named(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The words with the name of the command that is meant; a list may be asked for by name."""
        if self.invoke_without_command and args[:1] == [LIST] and not self.get_command(ctx, LIST):
            args = args[1:]
        is_named = any(self.get_command(ctx, one) for one in args)
        name = self._meant(args) if self._meant and not is_named else None
        return [name, *args] if name else args

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Every command with its first sentence, on as many lines as that needs."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(WHOLE)) for name, one in found if one and not one.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
