"""`python -m diracx_tasks.node.tied PARENT PROGRAM ...`: become a program that gets TERM when PARENT ends."""

import os
import signal
import sys

from diracx_tasks.node.prctl import die_with_parent


def tied(command: list[str]) -> list[str]:
    """The command that runs a program as long as this process lives; to be started from the main thread."""
    # Not preexec_fn: Python code between fork and exec can hang when other threads run.
    return [sys.executable, "-m", "diracx_tasks.node.tied", str(os.getpid()), *command]


def main() -> None:
    """Tie this process to its parent, then become the program."""
    parent, program, *arguments = sys.argv[1:]
    die_with_parent(int(parent), signal.SIGTERM)
    os.execvp(program, [program, *arguments])


if __name__ == "__main__":
    main()
