"""What the steps of a workflow asked for beside what they used, with remarks where the two are far apart."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Session

from diracx_tasks.core.packed import unpacked
from diracx_tasks.core.remembered import remembered
from diracx_tasks.core.settings import settings
from diracx_tasks.core.words import size_of_mb, span
from diracx_tasks.jobs import attempt_use
from diracx_tasks.jobs.attempt_use import NAMES, Summary
from diracx_tasks.workflows.tables import Workflow

ASKED = ("cores", "ram_mb", "wall_time", "scratch_mb")
# What is asked for in vain: so many times more than was used, and more than is given to everybody.
FAR = 4
EVERYBODYS_MB = 1024
# A limit that was nearly met.
NEAR = 0.9
# Below this share of the time of its cores a step that has several does not need them.
IDLE = 0.5
BUSY = 1.3


def of_steps(db: Session, workflow: Workflow) -> list[dict[str, Any]]:
    """For each step with jobs: what was asked, what the last attempts used, and remarks; a little old."""
    group = f"{workflow.workflow_id:08d}"
    key = ("resources", settings().database, workflow.workflow_id)
    found = remembered(key, lambda: attempt_use.summed(db, workflow.vo, group))
    steps = [node for node in unpacked(workflow.graph)["nodes"] if node["kind"] == "tool"]
    return [
        {**{name: node[name] for name in ("path", "name", "scatter")}, **_told(found.get(name, Summary()))}
        for node, name in ((node, (node["path"] or workflow.name)[:128]) for node in steps)
    ]


def _told(summary: Summary) -> dict[str, Any]:
    asked = {name: _range(summary, name) for name in ASKED}
    used = {}
    if summary.measured:
        used = {
            name: {"least": one.least, "mean": one.mean, "most": one.most}
            for name, one in summary.used.items()
        }
    paid, cpu = summary.paid_seconds, summary.used["cpu_seconds"].total
    efficiency = cpu / paid if paid else None
    return {
        "jobs": summary.jobs,
        "measured": summary.measured,
        "asked": asked,
        "used": used if used else dict.fromkeys(NAMES),
        "efficiency": round(efficiency, 3) if efficiency is not None else None,
        "remarks": list(_remarks(asked, used, efficiency)) if used else [],
    }


def _range(summary: Summary, name: str) -> dict[str, float] | None:
    """The smallest and the largest that jobs asked for; None if none of them did."""
    found = [value for one, _ in summary.asked if (value := _value(one, name)) is not None]
    return {"least": min(found), "most": max(found)} if found else None


def _value(requirements: dict[str, Any], name: str) -> float | None:
    place = requirements.get("io") or {} if name == "scratch_mb" else requirements
    found = place.get(name)
    return found if isinstance(found, int | float) else None


def _remarks(asked: dict[str, Any], used: dict[str, Any], efficiency: float | None) -> Iterator[str]:
    yield from _of_space("memory", asked["ram_mb"], used["memory_mb"])
    yield from _of_space("disk", asked["scratch_mb"], used["disk_mb"])
    yield from _of_cores(asked["cores"], efficiency)
    yield from _of_time(asked["wall_time"], used["wall_seconds"])


def _of_space(what: str, asked: dict[str, float] | None, used: dict[str, float]) -> Iterator[str]:
    if asked is None:
        return
    most, least = used["most"], asked["least"]
    if most > least:
        yield f"{what}: {size_of_mb(most)} used where {size_of_mb(least)} were asked for: ask for more"
    elif least > EVERYBODYS_MB and most * FAR < least:
        words = "with less it would find a place sooner"
        yield f"{what}: at most {size_of_mb(most)} of {size_of_mb(least)} used: {words}"


def _of_cores(cores: dict[str, float] | None, efficiency: float | None) -> Iterator[str]:
    if cores is None or efficiency is None:
        return
    count = cores["most"]
    if count > 1 and efficiency < IDLE:
        yield f"CPU: {efficiency * count:.1f} of {count:.0f} cores busy: ask for fewer"
    elif efficiency > BUSY:
        yield f"CPU: {efficiency * count:.1f} cores busy where {count:.0f} were asked for: ask for more"


def _of_time(asked: dict[str, float] | None, used: dict[str, float]) -> Iterator[str]:
    if asked is None:
        return
    if used["most"] > NEAR * asked["least"]:
        yield f"time: {span(used['most'])} of {span(asked['least'])} used: it nearly met its limit"
    elif used["most"] * FAR < asked["least"] and asked["least"] > 3600:
        yield f"time: at most {span(used['most'])} of {span(asked['least'])} used: ask for less"
