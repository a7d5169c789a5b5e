"""`diracx` for the commands of pages, without the seconds for which Python loads it each time.

`diracx` in the folder that `warm` makes has its command run by a fork of a process that has imported all of
it and called nothing: same arguments, environment, folder, streams and exit code. With another PYTHONPATH
than that process has, it starts the real program. What a start costs is for tests/unit/cli to see.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from diracx_tasks.node.tied import tied
from tests.system import wait_for

CLIENT = """#!{python} -IS
import json, os, socket, sys
if os.environ.get("PYTHONPATH") != {path!r}:
    os.execv({real!r}, ["diracx", *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"x"], [0, 1, 2])
    server.sendall(json.dumps([os.getcwd(), dict(os.environ), sys.argv[1:]]).encode())
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(8) or b"1"))
"""


@contextmanager
def warm(folder: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """The folder with the program, which belongs before the others on the PATH."""
    address, programs = folder / "diracx.socket", folder / "warm"
    real = Path(sys.executable).with_name("diracx")
    programs.mkdir()
    known = {"python": sys.executable, "path": environment["PYTHONPATH"], "real": str(real)}
    (programs / "diracx").write_text(CLIENT.format(**known, address=str(address)))
    (programs / "diracx").chmod(0o755)
    command = tied([sys.executable, "-m", "tests.docs.warm", str(address)])
    # Of its own session: a signal to all of a command's group is none for the tests.
    with subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True) as server:
        try:
            wait_for(address.exists, 60, lambda: f"it ended with {server.poll()}")
            yield programs
        finally:
            server.terminate()


def _load() -> None:
    """Import all that commands use."""
    from diracx_tasks.cli.main import SUBJECTS
    from diracx_tasks.core.plugins import load_tasks

    for subject in SUBJECTS.values():
        import_module(subject.target.partition(":")[0])
    for module in ("diracx_tasks.engine.overview", "rich.console", "rich.live", "rich.table"):
        import_module(module)
    load_tasks()
    # What is never looked at again is not copied by forks.
    gc.freeze()


def _serve(address: str) -> None:
    """Have forks run commands; returns in each fork, with its streams and arguments in place."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{address}.new")
        listening.listen(20)
        os.rename(f"{address}.new", address)
        while True:
            asked, _ = listening.accept()
            if not os.fork():
                break
            asked.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(asked, 1, 3)
    text = b"".join(iter(lambda: asked.recv(65536), b""))
    command = os.fork()
    if command:
        asked.sendall(str(os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]) & 255).encode())
        os._exit(0)
    asked.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    folder, environment, arguments = json.loads(text)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["diracx", *arguments]


def _run() -> int:
    """Run the command in `sys.argv`; answers its exit code."""
    from diracx_tasks.cli.main import main

    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    _load()
    _serve(sys.argv[1])
    status = _run()
    sys.stdout.flush()
    sys.stderr.flush()
    # The usual end takes two seconds: it would take apart all that was imported.
    os._exit(status)
