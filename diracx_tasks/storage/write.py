"""Files that come and go: announced, uploaded, registered, removed."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, now, utc_now
from diracx_tasks.core.errors import BadRequest, Conflict, DiracXError, TooLarge, Unavailable
from diracx_tasks.core.unless_there import add_unless_there
from diracx_tasks.storage import elements
from diracx_tasks.storage.catalogue import catalogue
from diracx_tasks.storage.entries import Content, Entry, Replica, Taken
from diracx_tasks.storage.names import Writer, checked, location_of, must_write
from diracx_tasks.storage.tables import Unclaimed

T = TypeVar("T")
R = TypeVar("R")
# Elements are asked about so many files at once.
PARALLEL = 8
LONGEST_PFN = 512


@dataclass(frozen=True)
class Announced:
    """A file to be stored: its LFN, its content, and the storage elements it may go to, the best first.

    Without an element it goes to any that the VO may write to, and to those that failed as a last resort.
    """

    lfn: str
    size: int
    sha256: str
    ses: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Uploaded:
    """A file that has been stored at an element; the other checksums are those that the client knows."""

    lfn: str
    se: str
    size: int
    sha256: str
    sha1: str | None = None
    adler32: str | None = None


def announce(
    db: Session, by: Writer, files: Sequence[Announced], *, job_id: int | None = None
) -> list[dict[str, Any]]:
    """How to upload files: `{"location", "se", "pfn", "url", "fields"}`; `url` is None for what is stored.

    A job may announce anew what another attempt of it has left. Raises Forbidden where one may not write,
    Taken for an LFN with another content, BadRequest when no element can be used, TooLarge over its limit.
    """
    lfns = [_writable(by, one.lfn) for one in files]
    there = catalogue(db, by.vo).look_up(set(lfns))
    allowed = elements.usable(db, by.vo, "write")
    wanted = []
    for lfn, file in zip(lfns, files, strict=True):
        found, content = there.get(lfn), Content(file.size, sha256=file.sha256.lower())
        if found and found.content.is_other(content) and (job_id is None or found.job_id != job_id):
            raise Taken(f"{lfn} is there with another content ({found.content}), not {content}")
        here = [one.se for one in found.replicas] if found else []
        ses = sorted(allowed, key=lambda se: se not in here)
        wanted.append((file, _places(by, lfn, file, ses)))
    chosen = _at_once(lambda one: _first_that_answers(*one), wanted)
    _claim(db, by.vo, chosen)
    # Only now: what is there and claimed is not cleaned away meanwhile.
    grants = _at_once(lambda one: _grant(*one), list(zip(files, chosen, strict=True)))
    return [{"location": location_of(lfn), **grant} for lfn, grant in zip(lfns, grants, strict=True)]


def register(db: Session, by: Writer, files: Sequence[Uploaded], *, job_id: int | None = None) -> list[str]:
    """Enter uploaded files into the catalogue, all or none; answers their LFNs.

    Doing so again is harmless. What another attempt of the same job has left is replaced. Raises Taken for
    an LFN with another content, Conflict for what is not at its element.
    """
    lfns = [_writable(by, one.lfn) for one in files]
    places = [_replica(by.vo, lfn, one) for lfn, one in zip(lfns, files, strict=True)]
    _claim(db, by.vo, places)
    sizes = _at_once(lambda place: elements.element(place.se).size(place.pfn), places)
    for lfn, file, size in zip(lfns, files, sizes, strict=True):
        if size != file.size:
            there = "it is not there" if size is None else f"{size} bytes are there"
            raise Conflict(f"{lfn}: {file.size} bytes should be at {file.se}, but {there}: upload it again")
    entries = [
        Entry(
            lfn,
            Content(file.size, _lower(file.adler32), _lower(file.sha1), file.sha256.lower()),
            str(uuid4()).upper(),
            by.name,
            by.group,
            (place,),
            job_id,
        )
        for lfn, file, place in zip(lfns, files, places, strict=True)
    ]
    replaced = catalogue(db, by.vo).register(entries)
    _release(db, by.vo, replaced)
    return lfns


def remove(db: Session, by: Writer, lfns: Collection[str]) -> list[str]:
    """Forget files with all their replicas; answers the LFNs of those that were there.

    What is stored is removed a while later. Raises Forbidden where one may not write.
    """
    removed = catalogue(db, by.vo).remove([_writable(by, lfn) for lfn in lfns])
    _release(db, by.vo, removed)
    return [one.lfn for one in removed]


def clean(db: Session, seconds: float, most: int = 500) -> int:
    """Remove what has been unclaimed for so long, unless it is a replica, looking at up to so many objects.

    Answers how many were looked at.
    """
    old = select(Unclaimed).where(Unclaimed.since < utc_now(-seconds)).order_by(Unclaimed.since).limit(most)
    rows = db.scalars(old.with_for_update()).all()
    places = {Replica(row.se, row.pfn): row.vo for row in rows}
    used: set[Replica] = set()
    for vo in set(places.values()):
        used |= catalogue(db, vo).replicas_at([one for one, its in places.items() if its == vo])
    for se in {one.se for one in places}:
        useless = [one.pfn for one in places if one.se == se and one not in used]
        _forget(db, se, useless, [one.pfn for one in places if one.se == se])
    return len(places)


def _forget(db: Session, se: str, useless: Sequence[str], looked_at: Sequence[str]) -> None:
    try:
        if useless:
            elements.element(se).remove(useless)
    except DiracXError:
        # An element that is away, or not configured any more, keeps nobody else's from being removed.
        changed(
            db,
            update(Unclaimed).where(Unclaimed.se == se, Unclaimed.pfn.in_(looked_at)).values(since=utc_now()),
        )
        return
    changed(db, delete(Unclaimed).where(Unclaimed.se == se, Unclaimed.pfn.in_(looked_at)))


def _writable(by: Writer, name: str) -> str:
    lfn = checked(name, by.vo)
    must_write(by, lfn)
    return lfn


def _lower(text: str | None) -> str | None:
    return text.lower() if text else None


def _places(by: Writer, lfn: str, file: Announced, allowed: Sequence[str]) -> list[Replica]:
    """Where a file may go, the best place first."""
    able = [se for se in file.ses or allowed if se in allowed]
    if not able:
        named = f"none of {', '.join(file.ses)}" if file.ses else "no storage element"
        raise BadRequest(f"{lfn}: {named} can be written to now; {', '.join(allowed) or 'none'} can")
    wanted = [se for se in able if file.size <= elements.element(se).largest]
    if not wanted:
        most = max(elements.element(se).largest for se in able)
        raise TooLarge(f"{lfn} has {file.size} bytes, {', '.join(able)} takes {most}")
    wanted.sort(key=lambda se: se in file.failed)
    places = [Replica(se, elements.element(se).pfn(lfn, by.vo, file.sha256.lower())) for se in wanted]
    if long := next((one for one in places if len(one.pfn) > LONGEST_PFN), None):
        raise BadRequest(f"{lfn}: its PFN at {long.se} would have {len(long.pfn)} characters")
    return places


def _first_that_answers(file: Announced, places: Sequence[Replica]) -> Replica:
    """The first place whose element is not away; Unavailable when all are."""
    *others, last = places
    for place in others:
        with suppress(Unavailable):
            elements.element(place.se).size(place.pfn)
            return place
    return last


def _replica(vo: str, lfn: str, file: Uploaded) -> Replica:
    if file.se not in elements.names(vo):
        raise BadRequest(f"{lfn}: there is no storage element {file.se} for {vo}")
    return Replica(file.se, elements.element(file.se).pfn(lfn, vo, file.sha256.lower()))


def _claim(db: Session, vo: str, places: Collection[Replica]) -> None:
    """Have what is at these places, or will be, left alone for a while, and hold it until the commit."""
    for place in sorted(set(places), key=lambda one: (one.se, one.pfn)):
        this = (Unclaimed.se == place.se, Unclaimed.pfn == place.pfn)
        if not changed(db, update(Unclaimed).where(*this).values(since=utc_now())):
            row = {"SE": place.se, "PFN": place.pfn, "VO": vo, "Since": now()}
            add_unless_there(db, Unclaimed, [row])


def _release(db: Session, vo: str, entries: Collection[Entry]) -> None:
    _claim(db, vo, {replica for entry in entries for replica in entry.replicas})


def _grant(file: Announced, place: Replica) -> dict[str, Any]:
    found = elements.element(place.se)
    grant: dict[str, Any] = {"url": None, "fields": {}}
    if found.size(place.pfn) != file.size:
        grant = found.grant(place.pfn, sha256=file.sha256.lower(), size=file.size)
    return {"se": place.se, "pfn": place.pfn, **grant}


def _at_once(ask: Callable[[T], R], items: Sequence[T]) -> list[R]:
    if len(items) < 2:
        return [ask(one) for one in items]
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(ask, items))
