"""`diracx completion`: the script with which a shell completes commands, options, numbers and names."""

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_DIRACX_COMPLETE"


def _own_shell() -> str:
    return Path(os.environ.get("SHELL", "")).name


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def completion(shell: str | None) -> None:
    """Print the script that has a shell complete commands with TAB; without SHELL for the one you use.

    \b
    bash  diracx completion bash \\
            > ~/.local/share/bash-completion/completions/diracx
    zsh   diracx completion zsh > ~/.zfunc/_diracx   (a folder of your fpath)
    fish  diracx completion fish > ~/.config/fish/completions/diracx.fish
    """
    chosen = shell or _own_shell()
    kind = get_completion_class(chosen) if chosen in SHELLS else None
    if kind is None:
        raise click.UsageError(f"say which shell: {', '.join(SHELLS)}")
    root = click.get_current_context().find_root()
    # Its check of bash's version writes to the terminal; any bash of the last ten years will do.
    made = kind(root.command, {}, "diracx", VARIABLE)
    click.echo(made.source_template % made.source_vars(), nl=False)
