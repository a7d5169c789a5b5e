"""Where an element's commands run and its files are: a folder on a host, reached by a shell."""

import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any, TypeVar

from diracx_tasks.core.errors import BadRequest, Unavailable
from diracx_tasks.pilots.computing.options import Options
from diracx_tasks.pilots.computing.shell import Done, Shell, whole
from diracx_tasks.pilots.elements import PilotScript

OUTPUT_BYTES = 1_000_000
AT_ONCE = 50
KEEP_DAYS = 14
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MOST_WORDS = 500
T = TypeVar("T")
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """An element's own folder in its SharedArea, below the user's home unless that is absolute.

    References are `kind://name/number`, as two batch systems may give one number each.
    """

    kind: str
    name: str
    given: Mapping[str, Any]
    shell: Shell

    def options(self, queue: str = "") -> Options:
        """What the configuration says of the element, and of one of its queues."""
        return Options.of(self.name, self.given, queue)

    def run(self, commands: str) -> Done:
        """Run commands in the folder, which is made; nothing runs when they do not arrive whole."""
        stated = self.options()
        folder = f"{stated.SharedArea.rstrip('/')}/{re.sub('[^A-Za-z0-9._-]', '_', self.name)}"
        enter = f'umask 077\ncd "$HOME" && mkdir -p {quote(folder)} && cd {quote(folder)} || exit 1'
        # What the preamble prints is no answer.
        preamble = f"{{\n{stated.Preamble}\n:\n}} >&2"
        script = whole(f"{preamble}\n{enter}\n{commands}")
        return self.shell.run(script, seconds=stated.Timeout)

    def ask(self, commands: str) -> Done:
        """As `run`; raises Unavailable when the host does not answer, or not to the end."""
        done = self.run(commands)
        if done.away:
            raise self.away(done.away)
        return done

    def away(self, why: str) -> Unavailable:
        """What is said of an element that does not answer."""
        return Unavailable(f"{self.name} does not answer: {why}")

    def reference(self, number: str) -> str:
        """The reference of what the batch system knows under a number."""
        return f"{self.kind}://{self.name}/{number}"

    def numbers(self, references: Collection[str]) -> dict[str, str]:
        """The batch system's number of each reference, to the reference; those of others are left out."""
        start = self.reference("")
        mine = (one for one in references if one.startswith(start))
        return {number: one for one in mine if SAFE.fullmatch(number := one.removeprefix(start))}

    def number(self, reference: str) -> str:
        """The batch system's number of a reference; BadRequest when it is another's."""
        for number in self.numbers([reference]):
            return number
        raise BadRequest(
            f"{reference} is no reference of the computing element {self.name}: {self.reference('')}..."
        )

    def tails(self, out: str, err: str) -> tuple[str, str]:
        """The ends of two files of the folder; empty when they are not there."""
        return self._tail(out), self._tail(err)

    def _tail(self, file: str) -> str:
        return self.ask(f"[ ! -f {quote(file)} ] || tail -c {OUTPUT_BYTES} {quote(file)}").out


def words(done: Done) -> str:
    """What a command complained about, in one line."""
    said = " ".join((done.err.strip() or done.out.strip()).split())
    return said[-MOST_WORDS:] or f"exit code {done.code}"


def submitted(
    pilots: Sequence[PilotScript],
    submit: Callable[[Sequence[PilotScript]], tuple[dict[str, str], Exception | None]],
) -> dict[str, str]:
    """Submit pilots some at a time, until there is trouble, which is raised when none was taken.

    Unavailable is raised in any case: what was cut off may have been taken without a word.
    """
    checked(pilots)
    taken: dict[str, str] = {}
    for some in in_portions(pilots, AT_ONCE):
        found, trouble = submit(some)
        taken |= found
        if trouble and (not taken or isinstance(trouble, Unavailable)):
            raise trouble
        if trouble:
            LOG.warning("%d of %d pilots were taken: %s", len(taken), len(pilots), trouble)
            break
    return taken


def checked(pilots: Sequence[PilotScript]) -> None:
    """BadRequest when a stamp cannot be the name of a file and of a job."""
    for one in pilots:
        if not SAFE.fullmatch(one.stamp):
            raise BadRequest(f"{one.stamp!r} is no stamp of a pilot")


def in_portions(items: Collection[T], size: int) -> Iterator[list[T]]:
    """Lists of so many at most."""
    whole_list = list(items)
    for start in range(0, len(whole_list), size):
        yield whole_list[start : start + size]


def rows(text: str, columns: int) -> Iterator[list[str]]:
    """The lines of a table whose columns are parted by |; the last column may hold more of them."""
    for line in text.splitlines():
        found = [part.strip() for part in line.split("|", columns - 1)]
        if len(found) == columns:
            yield found
