"""Finding pilots among the jobs that a batch system lists: those of now, and those that it looks up."""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from diracx_tasks.pilots.computing.place import Place, checked
from diracx_tasks.pilots.elements import PilotScript, State, Told


class Job(NamedTuple):
    """What a batch system says of a job."""

    number: str
    stamp: str
    told: Told


# Jobs that have left the queue, by their stamps or numbers.
Earlier = Callable[[Collection[str]], Iterable[Job]]


def references_of(
    place: Place, stamps: Collection[str], now: Callable[[], Iterable[Job]], earlier: Earlier
) -> dict[str, str]:
    """The references of those stamps that have a job."""
    checked([PilotScript(stamp, "") for stamp in stamps])
    if not stamps:
        return {}
    wanted = set(stamps)
    found = {job.stamp: job.number for job in now() if job.stamp in wanted}
    for job in earlier(wanted - set(found)) if wanted - set(found) else ():
        found.setdefault(job.stamp, job.number)
    return {stamp: place.reference(found[stamp]) for stamp in stamps if stamp in found}


def told_of(
    place: Place, references: Collection[str], now: Callable[[], Iterable[Job]], earlier: Earlier
) -> dict[str, Told]:
    """How the job of each reference is; Unknown when there is none."""
    by_number = place.numbers(references)
    if not by_number:
        return {}
    told = {job.number: job.told for job in now()}
    missing = set(by_number) - set(told)
    for job in earlier(missing) if missing else ():
        told.setdefault(job.number, job.told)
    unknown = Told(State.UNKNOWN, f"{place.name} knows no such job")
    return {reference: told.get(number, unknown) for number, reference in by_number.items()}
