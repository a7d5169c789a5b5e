"""Pilots as plain processes of a host: this machine, or one that ssh reaches and that has no batch system.

All that is known of a pilot is in a folder of its stamp's name, so that any process can find, ask and kill
it, and it outlives whoever submitted it:

    pilot     the script, until it has ended
    process   process id, its start in ticks since boot, and the boot: a number used again is no pilot
    stdout, stderr
    exit      its exit code
    killed    that it was told to end
    lost      that its process was found gone without an exit code
"""

from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from shlex import quote
from typing import Any

from diracx_tasks.pilots.computing.place import KEEP_DAYS, Place, checked, submitted, words
from diracx_tasks.pilots.computing.shell import Done, Here, Shell, here_document
from diracx_tasks.pilots.elements import PilotScript, Refused, State, Told


class Local:
    """Processes of a host. How many there may be is said by MaxTotalJobs of the queue."""

    def __init__(self, name: str, options: Mapping[str, Any], shell: Shell | None = None) -> None:
        self._place = Place("local", name, options, shell or Here())
        self._place.options()

    def submit(self, queue: str, pilots: Sequence[PilotScript]) -> dict[str, str]:
        """Start pilots; one that is there already is not started again."""
        self._place.options(queue)
        return submitted(pilots, self._start)

    def _start(self, some: Sequence[PilotScript]) -> tuple[dict[str, str], Exception | None]:
        starts = "".join(f"start {quote(one.stamp)} {here_document(one.text)}" for one in some)
        done = self._place.run(f"{_functions()}\nforget_old {KEEP_DAYS}\n{starts}")
        started = set(done.out.split())
        taken = {one.stamp: self._place.reference(one.stamp) for one in some if one.stamp in started}
        return taken, None if len(taken) == len(some) else self._trouble(done)

    def find(self, stamps: Collection[str]) -> dict[str, str]:
        """Those that were started, up to two weeks after their end."""
        known = self._told(stamps)
        return {stamp: self._place.reference(stamp) for stamp, told in known.items() if told[0] != "unknown"}

    def status(self, references: Collection[str]) -> dict[str, Told]:
        """By their processes; without one and without an exit code they are Aborted."""
        by_stamp = self._place.numbers(references)
        return {by_stamp[stamp]: _as_told(*told) for stamp, told in self._told(by_stamp).items()}

    def kill(self, references: Collection[str]) -> None:
        """TERM, and KILL to what is left of them after `KillWait`."""
        if stamps := self._place.numbers(references):
            self._read(f"end_all {self._place.options().KillWait}", stamps)

    def output(self, reference: str) -> tuple[str, str]:
        """What the pilot has written until now."""
        stamp = self._place.number(reference)
        return self._place.tails(f"{stamp}/stdout", f"{stamp}/stderr")

    def _told(self, stamps: Collection[str]) -> dict[str, tuple[str, str]]:
        if not stamps:
            return {}
        lines = (line.split() for line in self._read("tell_all", stamps).out.splitlines() if line.strip())
        return {stamp: (word, rest[0] if rest else "") for stamp, word, *rest in lines if stamp in stamps}

    def _read(self, function: str, stamps: Collection[str]) -> Done:
        checked([PilotScript(stamp, "") for stamp in stamps])
        done = self._place.ask(f"{_functions()}\n{function} {here_document(chr(10).join(stamps))}")
        if done.code:
            raise self._trouble(done)
        return done

    def _trouble(self, done: Done) -> Exception:
        return self._place.away(done.away) if done.away else Refused(f"{self._place.name}: {words(done)}")


def _functions() -> str:
    return files("diracx_tasks.pilots.computing").joinpath("local.sh").read_text()


def _as_told(word: str, code: str) -> Told:
    if word == "ended":
        return Told(State.DONE) if code == "0" else Told(State.FAILED, f"exit code {code}")
    return {
        "starting": Told(State.WAITING, "its process is being started"),
        "running": Told(State.RUNNING),
        "killed": Told(State.ABORTED, "killed"),
        "lost": Told(State.ABORTED, "its process is gone and has left no exit code"),
    }.get(word, Told(State.UNKNOWN, "there is no such pilot on the host"))
