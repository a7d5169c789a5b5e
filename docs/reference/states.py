"""The states of jobs, workflows and pilots: which there are, and which of a job's follow which."""

from collections.abc import Collection

from diracx_tasks.jobs.states import BEFORE, FINAL, HELD, TRANSITIONS, Status
from diracx_tasks.pilots import breaker, register, standing
from diracx_tasks.pilots.elements import State
from diracx_tasks.workflows import states as workflows
from docs.reference.drawing import ways
from docs.reference.text import code, sentence, table

# They may come from nearly everywhere: the table has them, the drawing would be nothing else.
EVERYWHERE = (Status.FAILED, Status.KILLED, Status.DELETED, Status.RESCHEDULED)


def job_drawing() -> str:
    """The ways of a job as an SVG, without those to EVERYWHERE."""
    chosen = [one for one in Status if one not in EVERYWHERE]
    pairs = [(frm, to) for frm in chosen for to in chosen if to in TRANSITIONS[frm]]
    return ways([str(one) for one in chosen], [(str(frm), str(to)) for frm, to in pairs], "The ways of a job")


def job_states() -> str:
    """A table of all statuses with what may follow."""
    rows = [(code(one), _kind(one), _names(TRANSITIONS[one])) for one in Status]
    return table(("status", "", "may become"), rows)


def workflow_states() -> str:
    """The statuses of workflows and their steps."""
    rows = [(code(one), "final" if one in workflows.FINAL else "goes on") for one in workflows.Status]
    return table(("status", ""), rows)


def pilot_states() -> str:
    """The statuses of pilots, in the order of a life."""
    groups = {
        "does not run yet": standing.WAITING,
        "runs": (standing.RUNNING,),
        "its batch system does not know it at the moment": (State.UNKNOWN,),
        "has ended, and does not come back": register.ENDED,
    }
    return table(("status", ""), [(", ".join(map(code, names)), words) for words, names in groups.items()])


def breakers() -> str:
    """The states of a queue's circuit breaker."""
    return f"{', '.join(map(code, breaker.Breaker))}. {sentence(breaker.Breaker.__doc__)}"


def _kind(status: Status) -> str:
    groups = {"final": FINAL, "a pilot holds it": HELD, "no pilot has it": BEFORE}
    return next((words for words, group in groups.items() if status in group), "")


def _names(found: Collection[Status]) -> str:
    return ", ".join(code(one) for one in Status if one in found) or "nothing"
