"""Pilots as batch jobs of Slurm, of the user whom the shell runs as; a job's name is the pilot's stamp.

`squeue` lists all of them at once, with those that ended a few minutes ago. Older ones are known to `sacct`,
or, where accounting is off, by the marks that they leave in the element's folder when they end.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from shlex import join
from typing import Any

from diracx_tasks.pilots.computing.listed import Job, references_of, told_of
from diracx_tasks.pilots.computing.options import Options
from diracx_tasks.pilots.computing.place import KEEP_DAYS, Place, in_portions, rows, submitted, words
from diracx_tasks.pilots.computing.shell import Done, Here, Shell, here_document
from diracx_tasks.pilots.elements import PilotScript, Refused, State, Told

ASKED_AT_ONCE = 500
WAITING = {
    "PENDING",
    "CONFIGURING",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "RESV_DEL_HOLD",
    "SPECIAL_EXIT",
}
RUNNING = {"RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"}
ABORTED = {"CANCELLED", "PREEMPTED", "BOOT_FAIL", "REVOKED"}
AWAY = re.compile(
    r"Unable to contact|Socket timed out|Connection (refused|timed out)|connection failure|"
    r"Zero Bytes|Munge (encode|decode) failed|Protocol authentication error|Slurm backup controller",
    re.IGNORECASE,
)
ACCOUNTING_OFF = re.compile(r"accounting storage is disabled|sacct: (command )?not found", re.IGNORECASE)
GONE = re.compile(r"Invalid job id|already complet", re.IGNORECASE)
SUBMIT = """\
submit() {
    stamp=$1
    shift
    number=$(sbatch --parsable --no-requeue --chdir="$PWD" --output=%j.out --error=%j.err "$@") || exit 1
    echo "taken $stamp $number"
}
"""
# A federation's cluster may stand after the number.
TAKEN = re.compile(r"^taken (\S+) (\d+)", re.MULTILINE)
FORGET = f"find . -maxdepth 1 -type f -name '[0-9]*.*' -mtime +{KEEP_DAYS} -exec rm -f {{}} +\n"
LIST = "squeue --noheader --states=all --user=\"$(id -un)\" --format='%A|%T|%r|%j'"
MARKS = "find . -maxdepth 1 -name '*.end' -exec cat {} +"


class Slurm:
    """A Slurm cluster; queues are its partitions."""

    def __init__(self, name: str, options: Mapping[str, Any], shell: Shell | None = None) -> None:
        self._place = Place("slurm", name, options, shell or Here())
        self._place.options()

    def submit(self, queue: str, pilots: Sequence[PilotScript]) -> dict[str, str]:
        """One job each, up to the first that is not taken."""
        return submitted(pilots, partial(self._submit, _asked(queue, self._place.options(queue))))

    def find(self, stamps: Collection[str]) -> dict[str, str]:
        """By the jobs' names: all that are in the queue or ended a few days ago."""
        earlier = partial(self._earlier, "--name")
        return references_of(self._place, stamps, self._queue, earlier)

    def status(self, references: Collection[str]) -> dict[str, Told]:
        """One `squeue` for all, and `sacct` for those that it does not know."""
        earlier = partial(self._earlier, "--jobs")
        return told_of(self._place, references, self._queue, earlier)

    def kill(self, references: Collection[str]) -> None:
        """Cancel jobs."""
        for some in in_portions(self._place.numbers(references), ASKED_AT_ONCE):
            done = self._place.ask(join(["scancel", *some]))
            complaints = [line for line in done.err.splitlines() if not GONE.search(line)]
            if done.code and complaints:
                raise self._trouble(done)

    def output(self, reference: str) -> tuple[str, str]:
        """What Slurm has written to the files in the element's folder, which hosts and nodes share."""
        number = self._place.number(reference)
        return self._place.tails(f"{number}.out", f"{number}.err")

    def _submit(
        self, asked: Sequence[str], some: Sequence[PilotScript]
    ) -> tuple[dict[str, str], Exception | None]:
        jobs = (
            f"submit {join([one.stamp, *asked, f'--job-name={one.stamp}'])} {_script(one)}" for one in some
        )
        done = self._place.run(f"{FORGET}{SUBMIT}{''.join(jobs)}")
        taken = {stamp: self._place.reference(number) for stamp, number in TAKEN.findall(done.out)}
        return taken, None if len(taken) == len(some) else self._trouble(done)

    def _queue(self) -> Iterator[Job]:
        done = self._place.ask(LIST)
        if done.code:
            raise self._trouble(done)
        for number, state, reason, stamp in rows(done.out, 4):
            yield Job(number, stamp, _told(state, "" if reason == "None" else reason))

    def _earlier(self, by: str, keys: Collection[str]) -> Iterator[Job]:
        """Jobs that the controller has forgotten, by numbers or by names."""
        for some in in_portions(sorted(keys), ASKED_AT_ONCE):
            since = [] if by == "--jobs" else [f"--starttime=now-{KEEP_DAYS}days"]
            columns = "--format=JobIDRaw,State,ExitCode,JobName%255"
            done = self._place.ask(join(["sacct", "-XnP", columns, *since, f"{by}={','.join(some)}"]))
            if done.code and ACCOUNTING_OFF.search(done.err):
                yield from self._marks()
                return
            if done.code:
                raise self._trouble(done)
            for number, state, code, stamp in rows(done.out, 4):
                ended = f"exit code {code.partition(':')[0]}" if state == "FAILED" else ""
                yield Job(number, stamp, _told(state.split()[0], ended))

    def _marks(self) -> Iterator[Job]:
        for number, code, stamp in rows(self._place.ask(MARKS).out, 3):
            told = Told(State.DONE) if code == "0" else Told(State.FAILED, f"exit code {code}")
            yield Job(number, stamp, told)

    def _trouble(self, done: Done) -> Exception:
        if done.away or AWAY.search(done.err):
            return self._place.away(done.away or words(done))
        return Refused(f"Slurm of {self._place.name}: {words(done)}")


def _asked(queue: str, stated: Options) -> list[str]:
    asked = [f"--partition={queue}"] if queue else []
    numbers = {
        "cpus-per-task": stated.NumberOfProcessors,
        "gpus": stated.NumberOfGPUs,
        "mem": stated.MaxRAM,
        "time": stated.maxWallClockTime,
    }
    asked += [f"--{option}={number}" for option, number in numbers.items() if number]
    asked += [f"--account={stated.Account}"] if stated.Account else []
    return asked + stated.SubmitOptions


def _script(one: PilotScript) -> str:
    """The pilot's script in one that leaves a mark at its end, which may be an `exec` or an `exit`."""
    first, _, rest = one.text.partition("\n")
    shebang, text = (first, rest) if first.startswith("#!") else ("#!/bin/sh", one.text)
    mark = f'echo "$SLURM_JOB_ID|$code|{one.stamp}" > "$here/$SLURM_JOB_ID.end"'
    return here_document(f"{shebang}\nhere=$PWD\n(\n:\n{text}\n)\ncode=$?\n{mark}\nexit $code")


def _told(state: str, reason: str) -> Told:
    if state == "COMPLETED":
        return Told(State.DONE)
    said = f"{state} {reason}".strip()
    if state in WAITING:
        return Told(State.WAITING, said)
    if state in RUNNING:
        return Told(State.RUNNING, "" if state == "RUNNING" else said)
    return Told(State.ABORTED if state in ABORTED else State.FAILED, said)
