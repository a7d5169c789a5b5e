"""DIRAC's InputData: jobs go where all of their input data is, found with one question for many jobs."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from diracx_tasks.core.errors import BadRequest, Forbidden
from diracx_tasks.core.operations import data_processing_types
from diracx_tasks.cwl.record import InvalidRequirements
from diracx_tasks.jobs.verdicts import Candidate, Hold, Narrow, Refuse, Verdict, words_of
from diracx_tasks.matching.specification import specifications
from diracx_tasks.storage import elements
from diracx_tasks.storage.catalogue import catalogue
from diracx_tasks.storage.names import checked

# What is added to a record: the sites that have all of the input data.
FIELD = "data_sites"
# A job's alternatives have room for so many, and so many files are named in words.
MOST_SITES, NAMED = 100, 3
MISSING = "Input Data Not Available"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Places:
    """Storage elements that can be read now, and the sites that each is next to."""

    readable: Collection[str]
    sites: Mapping[str, Collection[str]]


def resolve(db: Session, vo: str, jobs: Sequence[Candidate]) -> dict[int, Verdict]:
    """What follows for jobs of a VO from where their input data is.

    A file at a storage element that is next to no site is read from everywhere. The jobs of transformations
    come with their sites.
    """
    placed = data_processing_types(vo)
    found: dict[int, Verdict] = {
        job.job_id: Narrow(_without(job)) for job in jobs if FIELD in job.requirements
    }
    wanted: list[tuple[Candidate, list[str]]] = []
    for job in (job for job in jobs if job.input_data and job.job_type not in placed):
        try:
            wanted.append((job, [checked(lfn, vo) for lfn in job.input_data]))
        except (BadRequest, Forbidden) as error:
            found[job.job_id] = Refuse(f"{MISSING}: {error}")
    if not wanted:
        return found
    try:
        replicas = _replicas(db, vo, {lfn for _, lfns in wanted for lfn in lfns})
        places = _Places(set(elements.open_for(db, vo, "read")), elements.sites_by_element())
    except SQLAlchemyError:
        raise
    except Exception as error:
        log.exception("the input data of %d jobs of %s cannot be looked up", len(wanted), vo)
        words = words_of(error)
        return found | {job.job_id: Hold(f"the file catalogue does not answer: {words}") for job, _ in wanted}
    return found | {
        job.job_id: verdict
        for job, lfns in wanted
        if (verdict := _verdict(job, {lfn: replicas.get(lfn) for lfn in lfns}, places))
    }


def _replicas(db: Session, vo: str, lfns: Collection[str]) -> dict[str, list[str]]:
    """The storage elements of each file that there is."""
    entries = catalogue(db, vo).look_up(lfns)
    return {lfn: [one.se for one in entry.replicas] for lfn, entry in entries.items()}


def _verdict(job: Candidate, files: Mapping[str, list[str] | None], places: _Places) -> Verdict | None:
    if missing := [lfn for lfn, ses in files.items() if not ses]:
        return Refuse(f"{MISSING}: {_some(missing, len(files))} not in the file catalogue of {job.vo}")
    stated = {lfn: [se for se in ses or () if se in places.readable] for lfn, ses in files.items()}
    if closed := [lfn for lfn, ses in stated.items() if not ses]:
        where = ", ".join(sorted({se for lfn in closed for se in files[lfn] or ()}))
        return Hold(f"{_some(closed, len(files))} only at {where}, which cannot be read now")
    near = {lfn: set(_sites(ses, places)) for lfn, ses in stated.items()}
    bound = [sites for sites in near.values() if sites]
    if not bound:
        return None
    if not (common := set.intersection(*bound)):
        return Refuse(f"No candidate sites available: no site has all input data; {_apart(near)}")
    return Narrow({**job.requirements, FIELD: _most(common, job)})


def _most(sites: Collection[str], job: Candidate) -> list[str]:
    """As many sites as there is room for, first of all those that the job asks for."""
    if len(sites) <= MOST_SITES:
        return sorted(sites)
    try:
        alternatives = specifications(_without(job))
    except InvalidRequirements:
        # The chain says what is wrong with them.
        alternatives = ()
    asked = {site for one in alternatives for site in one.sites}
    return sorted(sorted(sites, key=lambda site: (site not in asked, site))[:MOST_SITES])


def _sites(ses: Sequence[str], places: _Places) -> Iterator[str]:
    """The sites next to storage elements; none when one of these is read from everywhere."""
    if all(places.sites.get(se) for se in ses):
        for se in ses:
            yield from places.sites[se]


def _without(job: Candidate) -> dict[str, Any]:
    return {name: value for name, value in job.requirements.items() if name != FIELD}


def _some(lfns: Sequence[str], total: int) -> str:
    """`2 of 3 files are (/vo/a, /vo/b)`, with a few of the names."""
    more = ", ..." if len(lfns) > NAMED else ""
    verb = "is" if len(lfns) == 1 else "are"
    return f"{len(lfns)} of {total} files ({', '.join(lfns[:NAMED])}{more}) {verb}"


def _apart(near: Mapping[str, Collection[str]]) -> str:
    told = [f"{lfn} is at {', '.join(sorted(sites))}" for lfn, sites in near.items() if sites]
    return "; ".join(told[:NAMED])
