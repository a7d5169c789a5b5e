"""Whether a command line is one that `diracx` takes: nothing is run."""

import re
import shlex

import click

from diracx_tasks.cli.groups import Group
from docs.reference.commands import PROGRAMS

ENDS = re.compile(r"[|;&<>]|\d?>")
ASSIGNED = re.compile(r"^[A-Z_]+=")
INLINE = re.compile(r"`((?:[A-Z_]+=\S+ )*diracx(?:-pilot|-cwl-runner)? [^`]+)`")


class Wrong(AssertionError):
    """It is not taken; the words say why."""


def calls(text: str) -> list[list[str]]:
    """The calls of our programs in a shell's line, as words."""
    lexer = shlex.shlex(text.replace("\\\n", " ").replace("\n", " "), posix=True, punctuation_chars="|;&<>()")
    lexer.whitespace_split, lexer.commenters = True, "#"
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|;&()"):
            found.append([])
        else:
            found[-1].append(word)
    plain = [_without_assignments(_without_redirections(words)) for words in found]
    return [words for words in plain if words and words[0] in PROGRAMS]


def check(words: list[str], *, is_whole: bool) -> None:
    """Raise Wrong when the program would not take these words; a part of a line may lack arguments."""
    command, rest = PROGRAMS[words[0]], words[1:]
    ctx = click.Context(command, info_name=words[0])
    while isinstance(command, click.Group) and rest and not rest[0].startswith(("-", "...")):
        rest = command.named(ctx, rest) if isinstance(command, Group) else rest
        found = command.get_command(ctx, rest[0])
        if found is None:
            raise Wrong(f"{ctx.command_path} has no command {rest[0]}")
        command, ctx = found, click.Context(found, parent=ctx, info_name=rest[0])
        rest = rest[1:]
    # `[--se SE]...` says that it may be repeated, or left out.
    plain = [word.strip("[].…") for word in rest] if not is_whole else rest
    _check_options(command, ctx, [word for word in plain if word], is_whole)


def _check_options(command: click.Command, ctx: click.Context, words: list[str], is_whole: bool) -> None:
    if "--help" in words or "--version" in words:
        return
    try:
        given, left, _ = command.make_parser(ctx).parse_args(list(words))
        for param in command.params:
            value = given.get(param.name or "")
            if (
                isinstance(param, click.Option)
                and isinstance(value, str)
                and isinstance(param.type, click.Choice)
            ):
                param.type.convert(value, param, ctx)
    except click.BadOptionUsage as error:
        if is_whole:
            raise Wrong(error.format_message()) from error
        return
    except click.UsageError as error:
        raise Wrong(error.format_message()) from error
    if left:
        raise Wrong(f"{ctx.command_path} does not take {' '.join(left)}")
    wanted = [one.name or "" for one in command.params if isinstance(one, click.Argument) and one.required]
    # What is not given is a mark of click's own.
    lacks = [name for name in wanted if not isinstance(given.get(name), str | tuple)]
    if is_whole and lacks:
        raise Wrong(f"{ctx.command_path} lacks {', '.join(lacks)}")


def _without_assignments(words: list[str]) -> list[str]:
    while words and ASSIGNED.match(words[0]):
        words = words[1:]
    return words


def _without_redirections(words: list[str]) -> list[str]:
    for number, word in enumerate(words):
        if set(word) <= set("<>") or re.fullmatch(r"\d?>+&?\d?", word):
            return words[:number]
    return words
