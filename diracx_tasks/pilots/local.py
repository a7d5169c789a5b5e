"""The local computing element: keeps as many pilots running on this machine as there are slots."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from diracx_tasks.auth.tokens import issue_pilot
from diracx_tasks.core.database import session
from diracx_tasks.core.settings import settings
from diracx_tasks.node.tied import tied
from diracx_tasks.pilots import register

log = logging.getLogger(__name__)
GRID_TYPE = "local"
# Below the working folder: a file for each pilot whose end is not stored yet, by its stamp.
STAMPS = "stamps"
TOKEN_SECONDS = 7 * 86400
PERIOD = 0.5


class Factory:
    """Starts pilots, notices their end, and says so in the database."""

    def __init__(self, slots: int, ram_mb: int, site: str, work: Path) -> None:
        self.slots, self.ram_mb, self.site, self.work = slots, ram_mb, site, work
        self._stamps = work / STAMPS
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()

    def run(self) -> None:
        """Work until a TERM or INT signal, then let the pilots end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        self._forget_earlier()
        while not self._stopping.wait(PERIOD):
            self._look(self.slots)
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait()
        # What cannot be stored now is when this factory starts again.
        self._look(0)

    def _look(self, slots: int) -> None:
        try:
            self._reap()
            while len(self._running) < slots:
                self._start()
        except SQLAlchemyError as error:
            # The pilots that run must not end with a database that is away for a while.
            log.warning("pilots: %s", str(error).split("\n")[0])

    def _forget_earlier(self) -> None:
        """Pilots of this factory, should it have been killed, died with it; what they left goes as well."""
        for left in self.work.glob("*.*"):
            shutil.rmtree(left, ignore_errors=True)
        self._stamps.mkdir(parents=True, exist_ok=True)
        stamps = [file.name for file in self._stamps.iterdir()]
        self._ended(stamps, "Aborted", "the factory was restarted")

    def _start(self) -> None:
        with session() as db:
            stamp = register.register(db, settings().vo, site=self.site, grid_type=GRID_TYPE)
            (self._stamps / stamp).touch()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DIRACX_")},
            "DIRACX_URL": settings().url,
            "DIRACX_TOKEN": issue_pilot(settings().vo, stamp, seconds=TOKEN_SECONDS),
            "DIRACX_PILOT_STAMP": stamp,
        }
        arguments = ["--site", self.site, "--ce", "local", "--cores", "1", "--ram-mb", str(self.ram_mb)]
        command = [sys.executable, "-m", "diracx_tasks.node.pilot", *arguments, "--work-dir", str(self.work)]
        self._running[stamp] = subprocess.Popen(tied(command), env=environment)

    def _reap(self) -> None:
        for stamp, process in list(self._running.items()):
            if process.poll() is not None:
                status = "Done" if process.returncode == 0 else "Failed"
                self._ended([stamp], status, f"exit code {process.returncode}")
                del self._running[stamp]

    def _ended(self, stamps: list[str], status: str, reason: str) -> None:
        with session() as db:
            register.ended(db, settings().vo, stamps, status=status, reason=reason)
        for stamp in stamps:
            (self._stamps / stamp).unlink(missing_ok=True)


def main() -> None:
    """`python -m diracx_tasks.pilots.local SLOTS RAM_MB SITE FOLDER`: what `diracx up` runs."""
    slots, ram_mb, site, folder = sys.argv[1:]
    Factory(int(slots), int(ram_mb), site, Path(folder)).run()


if __name__ == "__main__":
    main()
