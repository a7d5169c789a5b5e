"""Pilots as jobs of HTCondor, of the user whom the shell runs as; their attribute DiracXPilot is the stamp.

`condor_q` lists all of them at once, `condor_history` knows those that have left the queue.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from shlex import join, quote
from typing import Any

from diracx_tasks.pilots.computing.listed import Job, references_of, told_of
from diracx_tasks.pilots.computing.options import Options
from diracx_tasks.pilots.computing.place import KEEP_DAYS, Place, in_portions, submitted, words
from diracx_tasks.pilots.computing.shell import Done, Here, Shell, here_document
from diracx_tasks.pilots.elements import PilotScript, Refused, State, Told

ASKED_AT_ONCE = 500
AWAY = re.compile(
    r"Failed to connect|Can't find address|Can't connect|Communication error|Failed to fetch ads|"
    r"condor_schedd is not|Failed to authenticate|condor_rm: \(null\)",
    re.IGNORECASE,
)
GONE = re.compile(r"^Job \S+ (not found|already)|There are no jobs in the queue")
COLUMNS = "ClusterId ProcId DiracXPilot JobStatus ExitCode HoldReason LastHoldReason RemoveReason"
FORGET = f"find . -maxdepth 1 -type f -name '*.*' -mtime +{KEEP_DAYS} -exec rm -f {{}} +\n"
# Its secret can be used once only: a pilot must not be started again, and one on hold would stay there.
DESCRIPTION = """\
universe = vanilla
executable = $(stamp).pilot
transfer_executable = True
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
transfer_output_files = ""
output = $(Cluster).$(Process).out
error = $(Cluster).$(Process).err
stream_output = True
stream_error = True
notification = Never
batch_name = DiracX
requirements = NumJobStarts == 0
periodic_remove = JobStatus == 5 || (JobStatus == 1 && NumJobStarts > 0)
MY.DiracXPilot = "$(stamp)"
"""


class HTCondor:
    """A pool, by a host that may submit to it; a queue is a name for a set of options."""

    def __init__(self, name: str, options: Mapping[str, Any], shell: Shell | None = None) -> None:
        self._place = Place("htcondor", name, options, shell or Here())
        self._place.options()

    def submit(self, queue: str, pilots: Sequence[PilotScript]) -> dict[str, str]:
        """Clusters of 50 jobs, up to the first that is not taken."""
        return submitted(pilots, partial(self._submit, self._place.options(queue)))

    def find(self, stamps: Collection[str]) -> dict[str, str]:
        """By the jobs' attribute: all that are in the queue or left it a few days ago."""
        earlier = partial(self._earlier, "DiracXPilot")
        return references_of(self._place, stamps, self._queue, earlier)

    def status(self, references: Collection[str]) -> dict[str, Told]:
        """One `condor_q` for all, and `condor_history` for those that it does not know."""
        earlier = partial(self._earlier, 'strcat(ClusterId, ".", ProcId)')
        return told_of(self._place, references, self._queue, earlier)

    def kill(self, references: Collection[str]) -> None:
        """Remove jobs from the queue."""
        for some in in_portions(self._place.numbers(references), ASKED_AT_ONCE):
            done = self._place.ask(join(["condor_rm", *some]))
            complaints = [line for line in done.err.splitlines() if line.strip() and not GONE.search(line)]
            if done.code and complaints:
                raise self._trouble(done)

    def output(self, reference: str) -> tuple[str, str]:
        """What HTCondor has brought to the element's folder, while the pilot runs and after."""
        number = self._place.number(reference)
        return self._place.tails(f"{number}.out", f"{number}.err")

    def _submit(
        self, stated: Options, some: Sequence[PilotScript]
    ) -> tuple[dict[str, str], Exception | None]:
        done = self._place.run(_submission(stated, some))
        found = re.search(r"^(\d+)\.0( - |$)", done.out, re.MULTILINE)
        if not found:
            return {}, self._trouble(done)
        references = (self._place.reference(f"{found[1]}.{process}") for process in range(len(some)))
        return dict(zip((one.stamp for one in some), references, strict=True)), None

    def _queue(self) -> Iterator[Job]:
        ours = quote("DiracXPilot =!= undefined")
        done = self._place.ask(f"condor_q -constraint {ours} -af:t {COLUMNS}")
        if done.code:
            raise self._trouble(done)
        yield from _jobs(done.out)

    def _earlier(self, key: str, values: Collection[str]) -> Iterator[Job]:
        """Jobs that have left the queue; the scan of the history ends when all are found, or at old ones."""
        for some in in_portions(sorted(values), ASKED_AT_ONCE):
            wanted = quote(f'DiracXPilot =!= undefined && stringListMember({key}, "{",".join(some)}")')
            old = f'"EnteredCurrentStatus < $(($(date +%s) - {KEEP_DAYS * 86400}))"'
            limits = f"-limit {len(some)} -since {old}"
            done = self._place.ask(f"condor_history -constraint {wanted} {limits} -af:t {COLUMNS}")
            if done.code:
                raise self._trouble(done)
            yield from _jobs(done.out)

    def _trouble(self, done: Done) -> Exception:
        if done.away or AWAY.search(done.err):
            return self._place.away(done.away or words(done))
        return Refused(f"HTCondor of {self._place.name}: {words(done)}")


def _submission(stated: Options, some: Sequence[PilotScript]) -> str:
    """Commands that write the scripts, which only we may read, and submit one cluster for all of them."""
    files = "".join(f"cat > {quote(one.stamp)}.pilot {here_document(one.text)}" for one in some)
    asked = {
        "request_cpus": stated.NumberOfProcessors,
        "request_gpus": stated.NumberOfGPUs,
        "request_memory": stated.MaxRAM,
        "accounting_group": stated.Account,
    }
    lines = [*(f"{name} = {value}" for name, value in asked.items() if value), *stated.ExtraSubmitString]
    queue = ["queue stamp from (", *(one.stamp for one in some), ")"]
    names = " ".join(quote(f"{one.stamp}.pilot") for one in some)
    description = DESCRIPTION + "\n".join([*lines, *queue])
    return f"{FORGET}{files}chmod 700 {names}\ncondor_submit -terse - {here_document(description)}"


def _jobs(text: str) -> Iterator[Job]:
    for line in text.splitlines():
        cluster, *told = line.split("\t")
        # A reason may go on in further lines.
        if cluster.isdecimal() and len(told) >= 4:
            yield Job(f"{cluster}.{told[0]}", told[1], _told(*told[2:]))


def _told(status: str, code: str, *reasons: str) -> Told:
    # What was held and then removed says only in LastHoldReason why.
    reason = "; ".join(one for one in dict.fromkeys(reasons) if one != "undefined")
    match status:
        case "1":
            return Told(State.WAITING)
        case "2" | "6" | "7":
            return Told(State.RUNNING)
        case "4" if code == "0":
            return Told(State.DONE)
        case "4":
            return Told(State.FAILED, "a signal ended it" if code == "undefined" else f"exit code {code}")
        case "3" | "5":
            return Told(State.ABORTED, reason)
        case _:
            return Told(State.UNKNOWN, f"JobStatus {status}")
