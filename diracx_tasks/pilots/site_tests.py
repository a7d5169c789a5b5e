"""A small job for each queue, once a day or on demand; how it ends says how much the queue is used."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, select, update
from sqlalchemy.orm import Session

from diracx_tasks.auth.rights import USER
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.config import config
from diracx_tasks.core.database import changed, utc, utc_now
from diracx_tasks.core.errors import NotFound
from diracx_tasks.jobs import control, submissions
from diracx_tasks.jobs.outcomes import Outcome, outcomes
from diracx_tasks.jobs.states import Status
from diracx_tasks.matching.match import TEST
from diracx_tasks.pilots.breaker import held
from diracx_tasks.pilots.queues import Queue, stated
from diracx_tasks.pilots.standing import Key
from diracx_tasks.pilots.tables import QueueState

# A test that has not ended within so many seconds has failed.
PATIENCE = 6 * 3600
CPU_SECONDS = 60
RUNS, DONE, FAILED = "Running", "Done", "Failed"


class Asked(NamedTuple):
    """A queue that is tested, and by which job."""

    site: str
    ce: str
    queue: str
    job_id: int


class Tested(NamedTuple):
    """The last test of a queue: Running, Done or Failed, empty when there was none; times UTC."""

    site: str
    ce: str
    queue: str
    job_id: int | None
    status: str
    reason: str
    asked_at: str | None
    ended_at: str | None


def chosen(vo: str, *, site: str = "", ce: str = "", queue: str = "") -> list[Queue]:
    """The queues of a VO with these names, all when none is stated; NotFound when there is none."""
    found = [
        one for one in stated(vo) if site in ("", one.site) and ce in ("", one.ce) and queue in ("", one.name)
    ]
    names = ", ".join(name for name in (site, ce, queue) if name)
    if names and not found:
        raise NotFound(f"pilots of {vo} are sent to no queue of {names}")
    return found


def ask(db: Session, vo: str, queues: Collection[Queue], *, by: User) -> list[Asked]:
    """Submit a test for each queue, unless one is under way: that one is answered then."""
    found = []
    for queue in sorted(queues, key=lambda one: one.key):
        row = held(db, vo, queue.key)
        if row.test_job is None or row.test_status != RUNS:
            request = submissions.understand([describe(queue)], by=by, key=None)
            ((answer,),) = submissions.submit_many(db, [request])
            row.test_job, row.test_status, row.test_reason = answer["JobID"], RUNS, ""
            row.test_asked_at, row.test_ended_at = utc_now(), None
            db.flush()
        found.append(Asked(queue.site, queue.ce, queue.name, row.test_job))
    return found


def service(vo: str) -> User:
    """Whose the daily tests are."""
    registry = config().Registry
    group = registry[vo].DefaultGroup if vo in registry else ""
    return User("site-test", group or "user", vo, "site-test", frozenset({USER}))


def look(db: Session, vo: str) -> int:
    """Note which tests have ended and how; answers how many. Those that took too long are killed."""
    rows = _under_way(db, vo)
    found = outcomes(db, vo, [row.test_job for row in rows])
    late = [row.test_job for row in rows if row.is_late]
    total = 0
    for row in rows:
        status, words = _verdict(row, found.get(row.test_job))
        if status:
            total += _note(db, (vo, row.ce, row.queue), row.test_job, status, words)
    control.kill_all(db, late, f"a test may take {PATIENCE / 3600:g} h")
    return total


def under_way(db: Session, vo: str) -> set[Key]:
    """The queues with a test that has not ended: it is sent where other jobs may not go."""
    return {(row.ce, row.queue) for row in _under_way(db, vo)}


def tested(db: Session, vo: str) -> Sequence[Tested]:
    """The last test of each queue of the configuration."""
    rows = {(row.ce, row.queue): row for row in db.scalars(select(QueueState).where(QueueState.vo == vo))}
    return [_tested(one, rows.get(one.key)) for one in stated(vo)]


def describe(queue: Queue) -> str:
    """The description of a queue's test, which no other queue's pilot takes."""
    tags = ", ".join(f'"{tag}"' for tag in (queue.tag, *queue.required_tags))
    return f"""[
  JobName = "Test of {_plain(queue.name)} at {_plain(queue.ce)}";
  JobType = "{TEST}";
  Executable = "/bin/echo";
  Arguments = "{_plain(queue.site)} {_plain(queue.ce)} {_plain(queue.name)}";
  StdOutput = "std.out";
  StdError = "std.err";
  OutputSandbox = {{"std.out", "std.err"}};
  Site = "{_plain(queue.site)}";
  CPUTime = {min(CPU_SECONDS, queue.node().cpu_time or CPU_SECONDS)};
  Priority = 10;
  Tags = {{{tags}}};
]"""


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._:/@-" else "_" for letter in name)


def _under_way(db: Session, vo: str) -> list[Row[Any]]:
    is_late = (QueueState.test_asked_at < utc_now(-PATIENCE)).label("is_late")
    query = select(QueueState.ce, QueueState.queue, QueueState.test_job, is_late)
    return [*db.execute(query.where(QueueState.vo == vo, QueueState.test_status == RUNS))]


def _verdict(row: Row[Any], outcome: Outcome | None) -> tuple[str, str]:
    """How a test ended and why it failed; empty while it goes on."""
    name = f"test job {row.test_job}"
    if outcome is None:
        return FAILED, f"{name} is not there any more"
    if outcome.status is Status.DONE:
        return DONE, ""
    said = f"{outcome.status} ({outcome.words})" if outcome.words else str(outcome.status)
    if outcome.has_ended:
        return FAILED, f"{name} is {said}"
    if row.is_late:
        return FAILED, f"{name} is {said} after {PATIENCE / 3600:g} h"
    return "", ""


def _note(db: Session, place: tuple[str, str, str], job_id: int, status: str, words: str) -> int:
    vo, ce, queue = place
    where = (QueueState.vo == vo, QueueState.ce == ce, QueueState.queue == queue)
    # Of a test that was asked for meanwhile nothing is known yet.
    mine = update(QueueState).where(*where, QueueState.test_job == job_id, QueueState.test_status == RUNS)
    told = {"test_status": status, "test_reason": words[:255], "test_ended_at": utc_now()}
    return changed(db, mine.values(told))


def _tested(queue: Queue, row: QueueState | None) -> Tested:
    place = (queue.site, queue.ce, queue.name)
    if row is None:
        return Tested(*place, None, "", "", None, None)
    times = (utc(row.test_asked_at), utc(row.test_ended_at))
    return Tested(*place, row.test_job, row.test_status, row.test_reason, *times)
