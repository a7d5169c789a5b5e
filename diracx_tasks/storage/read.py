"""Files by their LFNs: what is known of them, where to fetch them, and how CWL values speak of them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from diracx_tasks.core.database import reading
from diracx_tasks.core.errors import BadRequest, NotFound, TooLarge
from diracx_tasks.sandboxes.metadata import MOST_CONTENTS
from diracx_tasks.storage import elements
from diracx_tasks.storage.catalogue import catalogue
from diracx_tasks.storage.entries import Entry
from diracx_tasks.storage.names import checked, is_lfn, lfn_of, location_of

MOST_FILES = 10_000
MOST_ADDRESSES = 3


@dataclass(frozen=True)
class Address:
    """Where a file can be fetched from, the best place first, and what it must then be."""

    lfn: str
    size: int
    checksum: str | None
    urls: list[str]
    guid: str = ""


def resolve(db: Session, vo: str, lfns: Collection[str]) -> dict[str, Entry]:
    """The files of a VO that there are, by the names asked for; others are left out.

    Raises BadRequest for what is no LFN, Forbidden for another VO's.
    """
    plain = {name: checked(name, vo) for name in lfns}
    found = catalogue(db, vo).look_up(set(plain.values()))
    return {name: found[lfn] for name, lfn in plain.items() if lfn in found}


def existing(db: Session, vo: str, names: Collection[str]) -> set[str]:
    """Those names or locations that are files of the VO, or folders with files in them."""
    plain = {name: checked(name, vo) for name in names}
    found = catalogue(db, vo).existing(set(plain.values()))
    return {name for name, lfn in plain.items() if lfn in found}


def addresses(db: Session, vo: str, lfns: Sequence[str], *, site: str = "") -> list[Address]:
    """Where the files are, and all files below those names that are folders; a site's elements go first.

    Raises BadRequest for what is not there or cannot be read now, TooLarge beyond MOST_FILES.
    """
    found = resolve(db, vo, lfns)
    entries = list(found.values())
    for lfn in lfns:
        if lfn not in found:
            entries += _whole(db, vo, checked(lfn, vo), MOST_FILES - len(entries))
    readable = elements.usable(db, vo, "read")
    return [_address(entry, readable, site) for entry in entries]


def contents(location: str, vo: str) -> str:
    """The text of a small file of a VO; BadRequest beyond CWL's 64 KiB, or when it cannot be read now."""
    with reading() as db:
        entry = resolve(db, vo, [location]).get(location)
        if entry is None:
            raise NotFound(f"{location} is not in the file catalogue of {vo}")
        if entry.content.size > MOST_CONTENTS:
            raise BadRequest(f"{location} is larger than the 64 KiB that loadContents may read")
        replica = _readable(entry, elements.usable(db, vo, "read"), "")[0]
    return elements.element(replica.se).read(replica.pfn, MOST_CONTENTS).decode(errors="replace")


def beginning(db: Session, vo: str, lfn: str, most: int) -> tuple[bytes, int]:
    """The first bytes of a file of a VO, and how many it has; NotFound, or BadRequest as `addresses`."""
    entry = resolve(db, vo, [lfn]).get(lfn)
    if entry is None:
        raise NotFound(f"{lfn} is not in the file catalogue of {vo}")
    replica = _readable(entry, elements.usable(db, vo, "read"), "")[0]
    return elements.element(replica.se).read(replica.pfn, most), entry.content.size


def complete(db: Session, vo: str, value: Any) -> tuple[Any, list[str]]:
    """A CWL value whose files with an LFN have `size` and `checksum`, and the LFNs that are not there.

    The checksum is CWL's SHA-1, where the catalogue knows it. Raises BadRequest for what is no LFN,
    Forbidden for another VO's.
    """
    wanted = dict(_located(value))
    lfns = {location: checked(location, vo) for location in wanted}
    files = catalogue(db, vo).look_up({lfns[one] for one, kind in wanted.items() if kind == "File"})
    folders = catalogue(db, vo).existing({lfns[one] for one, kind in wanted.items() if kind != "File"})
    missing = {lfn for lfn in lfns.values() if lfn not in files and lfn not in folders}
    return _completed(value, files), sorted(missing)


def _whole(db: Session, vo: str, folder: str, most: int) -> Sequence[Entry]:
    inside = catalogue(db, vo).below(folder, most + 1)
    if not inside:
        raise BadRequest(f"{folder} is not in the file catalogue of {vo}")
    if len(inside) > most:
        raise TooLarge(f"more than {MOST_FILES} files are asked for, those below {folder} among them")
    return inside


def _address(entry: Entry, readable: list[str], site: str) -> Address:
    places = _readable(entry, readable, site)[:MOST_ADDRESSES]
    urls = [elements.element(one.se).url(one.pfn) for one in places]
    known = {"sha256": entry.content.sha256, "sha1": entry.content.sha1, "adler32": entry.content.adler32}
    checksum = next((f"{kind}:{value}" for kind, value in known.items() if value), None)
    return Address(entry.lfn, entry.content.size, checksum, urls, entry.guid)


def _readable(entry: Entry, readable: list[str], site: str) -> list[Any]:
    """The replicas that can be read, the best first; BadRequest when there is none."""
    replicas = {one.se: one for one in entry.replicas}
    found = elements.nearest_first([se for se in readable if se in replicas], site)
    if not found:
        where = f"only at {', '.join(replicas)}" if replicas else "nowhere"
        raise BadRequest(f"{entry.lfn} cannot be read now: it is {where}")
    return [replicas[se] for se in found]


def _located(value: Any) -> Iterator[tuple[str, str]]:
    """Locations with an LFN, and whether a File or a Directory is to be there."""
    if isinstance(value, dict):
        location = value.get("location")
        if value.get("class") in ("File", "Directory") and isinstance(location, str) and is_lfn(location):
            yield location, value["class"]
        for inner in value.values():
            yield from _located(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _located(inner)


def _completed(value: Any, files: dict[str, Entry]) -> Any:
    if isinstance(value, list):
        return [_completed(inner, files) for inner in value]
    if not isinstance(value, dict):
        return value
    found = {key: _completed(inner, files) for key, inner in value.items()}
    location = value.get("location")
    if value.get("class") in ("File", "Directory") and isinstance(location, str) and is_lfn(location):
        found["location"] = location_of(lfn_of(location))
        if entry := files.get(lfn_of(location)) if value["class"] == "File" else None:
            found["size"] = entry.content.size
            if entry.content.sha1:
                found["checksum"] = f"sha1${entry.content.sha1}"
    return found
