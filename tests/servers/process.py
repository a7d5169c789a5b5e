"""One server process: started in its own folder, stopped or killed by its id, started again."""

import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from .ports import free_port, listens
from .programs import PATH, need


class NotReady(Exception):
    """A server ended, or served nobody, before its deadline."""


class Server(ABC):
    """A process with a port and a folder, which keeps both when it is killed and started again.

    `parts` are the servers that it needs: started before it, stopped after it, left alone by `kill`.
    """

    programs: ClassVar[tuple[str, ...]]

    def __init__(self, folder: Path) -> None:
        for program in self.programs:
            need(program)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.name = type(self).__name__.lower()
        self.log = folder / f"{self.name}.log"
        self.parts: tuple[Server, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._prepared = False

    @abstractmethod
    def command(self) -> list[str]:
        """Program and arguments; the program stays in the foreground."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether a client is served now."""

    def environment(self) -> dict[str, str]:
        """All that the process sees of the environment."""
        return {"HOME": str(self.folder), "PATH": PATH, "LC_ALL": "C.UTF-8"}

    def prepare(self) -> None:  # noqa: B027 (Redis and others need nothing)
        """Make what only the first start needs; the parts are running."""

    @property
    def pid(self) -> int | None:
        """Process id, None when it does not run."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    def start(self) -> None:
        """Run until clients are served; harmless when it runs already."""
        try:
            for part in self.parts:
                part.start()
            if not self._prepared:
                self.prepare()
                self._prepared = True
            if self.pid is None:
                self._launch()
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Return when clients are served; raises NotReady with the last lines of the log."""
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if self.pid is None:
                raise NotReady(f"{self.name} ended before it was ready: {self._last_lines()}")
            if time.monotonic() > deadline:
                raise NotReady(f"{self.name} was not ready in {seconds:.0f} s: {self._last_lines()}")
            time.sleep(0.05)

    def stop(self, seconds: float = 20) -> None:
        """End it properly (TERM, after `seconds` KILL), then its parts; harmless when it has ended."""
        if self._process is not None and self.pid is not None:
            self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        for part in reversed(self.parts):
            part.stop(seconds)

    def kill(self) -> None:
        """End it as a power cut would (KILL), without its parts; harmless when it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Stop it unless it has ended, and start it on the same port and folder."""
        self.stop()
        self.start()

    def run(self, *command: str, seconds: float = 60) -> str:
        """Output of a command that ends by itself; its errors go to the log."""
        with self.log.open("ab") as log:
            done = subprocess.run(
                [need(command[0]), *command[1:]],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                timeout=seconds,
                check=False,
            )
        if done.returncode:
            raise NotReady(f"{command[0]} ended with status {done.returncode}: {self._last_lines()}")
        return done.stdout.decode()

    def _launch(self) -> None:
        if listens(self.port):
            raise NotReady(f"{self.name} cannot start: another process has taken its port {self.port}")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops the servers
            )

    def _last_lines(self) -> str:
        return f"{self.log}\n" + "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.stop()
