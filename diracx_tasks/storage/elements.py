"""Storage elements: where files lie, as the configuration's section Resources says."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import orjson
from sqlalchemy.orm import Session

from diracx_tasks.core.errors import NotFound, SettingsError
from diracx_tasks.core.operations import resources
from diracx_tasks.core.sections import StorageElementOptions
from diracx_tasks.core.settings import settings
from diracx_tasks.resources.view import view
from diracx_tasks.sandboxes.store import FolderStore, Grant, Store, store

GROUP = "diracx.storage_elements"
# There without a word in the configuration: beside the sandboxes.
DEFAULT = "SE-USER"
FOLDER, S3 = "folder", "s3"
ACTIVE = "Active"
LONGEST_NAME = 64


class StorageElement(Protocol):
    """A place for files, each known there by its PFN; several threads may ask at once."""

    largest: int

    def pfn(self, lfn: str, vo: str, sha256: str) -> str:
        """Where a file of a VO is to be; at most 512 characters."""

    def grant(self, pfn: str, *, sha256: str, size: int) -> Grant:
        """`{"url", "fields"}` of an upload with POST, the content last as `file`; for this content only."""

    def url(self, pfn: str) -> str:
        """An address to GET it from for a while."""

    def size(self, pfn: str) -> int | None:
        """Its bytes; None when it is not there."""

    def read(self, pfn: str, most: int) -> bytes:
        """Its first bytes; NotFound when it is not there."""

    def remove(self, pfns: Sequence[str]) -> None:
        """Remove files; those that are not there are no error."""


class Stored:
    """A storage element in an S3 bucket or a folder: what has the same content is stored once in a VO."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.largest = store.largest

    def pfn(self, lfn: str, vo: str, sha256: str) -> str:
        """A name made of the VO and the content."""
        return f"data/{vo}/{sha256}"

    def grant(self, pfn: str, *, sha256: str, size: int) -> Grant:
        """An upload of exactly this content."""
        return self.store.grant(pfn, checksum=sha256, size=size)

    def url(self, pfn: str) -> str:
        """A signed address."""
        return self.store.url(pfn)

    def size(self, pfn: str) -> int | None:
        """Its bytes; None when it is not there."""
        return self.store.size(pfn)

    def read(self, pfn: str, most: int) -> bytes:
        """Its first bytes."""
        return self.store.read(pfn, most)

    def remove(self, pfns: Sequence[str]) -> None:
        """Remove files."""
        self.store.delete(pfns)


def names(vo: str) -> list[str]:
    """The storage elements that a VO may use and that somebody here can serve, in order."""
    return [name for name in _of_vo(vo) if _stated()[name].Type]


def element(name: str) -> StorageElement:
    """A storage element; NotFound or SettingsError when there is none of that name, or nobody serves it."""
    stated = _stated().get(name)
    if stated is None:
        raise NotFound(f"there is no storage element {name}; there are {', '.join(_stated())}")
    if name == DEFAULT and DEFAULT not in resources().StorageElements:
        return Stored(store())
    options = stated.model_dump()
    if stated.Type == FOLDER:
        return Stored(_folder(name, options))
    if stated.Type == S3:
        return Stored(_bucket(name, options))
    return _plugged_in(name, stated.Type, orjson.dumps(options))


def usable(db: Session, vo: str, access: str) -> list[str]:
    """The VO's storage elements that somebody here can serve, as `open_for`."""
    served = set(names(vo))
    return [name for name in open_for(db, vo, access) if name in served]


def open_for(db: Session, vo: str, access: str) -> list[str]:
    """The VO's storage elements that configuration and RSS allow to `read` or `write` now, in order.

    Those without a Type are among them: jobs reach these by means of their own.
    """
    refused = set(view("storage", vo, lambda: db).barred.get(access, ()))
    stated = _stated()
    barred = {
        name
        for name, one in stated.items()
        if (one.ReadAccess if access == "read" else one.WriteAccess) != ACTIVE
    }
    return [name for name in _of_vo(vo) if name not in refused | barred]


def nearest_first(ses: Collection[str], site: str) -> list[str]:
    """Storage elements in order, those of a site before others."""
    near = {se: place for place, se in enumerate(_of_site(site))}
    return sorted(ses, key=lambda se: near.get(se, len(near)))


def sites_by_element() -> dict[str, set[str]]:
    """The sites that each storage element is next to; one that is next to none is not in it."""
    found: dict[str, set[str]] = {}
    for sites in resources().Sites.values():
        for site, stated in sites.items():
            for se in stated.SE:
                found.setdefault(se, set()).add(site)
    return found


def folder_of(name: str) -> FolderStore:
    """The folder of a storage element; NotFound when it is none in a folder."""
    found = element(name)
    place = found.store if isinstance(found, Stored) else None
    if not isinstance(place, FolderStore):
        raise NotFound(f"the files of {name} are not here")
    return place


def _of_vo(vo: str) -> list[str]:
    return [name for name, stated in _stated().items() if not stated.VO or vo in stated.VO]


def _stated() -> Mapping[str, StorageElementOptions]:
    stated = resources().StorageElements
    if too_long := next((name for name in stated if len(name) > LONGEST_NAME), None):
        raise SettingsError(
            f"the storage element {too_long!r} has a name of more than {LONGEST_NAME} characters"
        )
    return {**({} if DEFAULT in stated else {DEFAULT: StorageElementOptions(Type=FOLDER)}), **stated}


def _of_site(site: str) -> Iterator[str]:
    for sites in resources().Sites.values():
        if site in sites:
            yield from sites[site].SE


def _folder(name: str, options: Mapping[str, Any]) -> FolderStore:
    above = settings().data / "storage"
    folder = (above / str(options.get("Path") or name)).resolve()
    if not folder.is_relative_to(above.resolve()) or folder == above.resolve():
        raise SettingsError(f"the Path of the storage element {name} leads out of {above}")
    return FolderStore(Path(folder), f"/api/data/elements/{quote(name, safe='')}")


def _bucket(name: str, options: Mapping[str, Any]) -> Store:
    lacking = [key for key in ("Endpoint", "Bucket") if not options.get(key)]
    if lacking or name not in settings().storage_keys:
        words = [*lacking, *([] if name in settings().storage_keys else ["a key in DIRACX_STORAGE_KEYS"])]
        raise SettingsError(f"the storage element {name} lacks {' and '.join(words)}")
    access, secret = settings().storage_keys[name]
    region = str(options.get("Region") or settings().s3_region)
    return _s3(options["Endpoint"], options["Bucket"], access, secret.get_secret_value(), region)


@lru_cache(64)
def _plugged_in(name: str, kind: str | None, options: bytes) -> StorageElement:
    points = {point.name: point for point in entry_points(group=GROUP)}
    if kind not in points:
        known = ", ".join([FOLDER, S3, *sorted(points)])
        raise SettingsError(f"nobody serves the storage element {name}: its Type is none of {known}")
    made: StorageElement = points[kind].load()(name, orjson.loads(options))
    return made


@lru_cache(32)
def _s3(*bucket: str) -> Store:
    from diracx_tasks.sandboxes.s3 import Bucket, S3Store

    return S3Store(Bucket(*bucket))
