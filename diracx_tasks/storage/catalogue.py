"""What a file catalogue answers and takes, and which one a VO has."""

from collections.abc import Collection, Sequence
from importlib.metadata import entry_points
from typing import Protocol

from sqlalchemy.orm import Session

from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.operations import operations
from diracx_tasks.storage.entries import Entry, Folder, Replica
from diracx_tasks.storage.sql import SqlCatalogue

GROUP = "diracx.file_catalogues"
# The name of the one in our own tables.
OURS = "diracx"


class FileCatalogue(Protocol):
    """The files of one VO; LFNs have been checked, and who asks may do so."""

    def look_up(self, lfns: Collection[str]) -> dict[str, Entry]:
        """Those files that there are, with their replicas, by their LFNs."""

    def existing(self, lfns: Collection[str]) -> set[str]:
        """Those that are files, or folders with files in them."""

    def children(self, folder: str, *, after: str = "", most: int = 1000) -> Folder:
        """What is right below a folder, in the order of names."""

    def below(self, folder: str, most: int) -> Sequence[Entry]:
        """Up to so many files of a folder, in any depth, with their replicas."""

    def register(self, files: Sequence[Entry]) -> Sequence[Entry]:
        """Enter files with their replicas, all or none; answers those that were replaced.

        One that is there with the same content gets the replicas that it lacks. One that an earlier attempt
        of the same job has left is replaced. Raises Taken for an LFN with another content, and for one that
        is a folder or lies below a file.
        """

    def remove(self, lfns: Collection[str]) -> Sequence[Entry]:
        """Forget files; answers those that were there."""

    def replicas_at(self, places: Collection[Replica]) -> set[Replica]:
        """Those places at which a replica of a file is."""


def catalogue(db: Session, vo: str) -> FileCatalogue:
    """The file catalogue that the VO's section DataManagement names as FileCatalog; by default ours.

    SettingsError when there is none of that name.
    """
    name = (operations(vo).DataManagement or {}).get("FileCatalog") or OURS
    if name == OURS:
        return SqlCatalogue(db, vo)
    kinds = {point.name: point for point in entry_points(group=GROUP)}
    if name not in kinds:
        known = ", ".join([OURS, *sorted(kinds)])
        raise SettingsError(f"there is no file catalogue {name!r} for {vo}; there are {known} ({GROUP})")
    made: FileCatalogue = kinds[name].load()(db, vo)
    return made
