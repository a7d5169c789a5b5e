"""The file catalogue in our own tables."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, now
from diracx_tasks.core.unless_there import add_unless_there
from diracx_tasks.storage.entries import Content, Entry, Folder, Replica, Taken
from diracx_tasks.storage.tables import File
from diracx_tasks.storage.tables import Replica as ReplicaRow

T = TypeVar("T")

AT_ONCE = 500
AFRESH = {"populate_existing": True}
# The first and the last character that a name may go on with, a slash being in between.
FIRST, BEHIND_SLASH = "+", "0"


class SqlCatalogue:
    """The files of one VO; see `FileCatalogue`."""

    def __init__(self, db: Session, vo: str) -> None:
        self._db = db
        self._vo = vo

    def look_up(self, lfns: Collection[str]) -> dict[str, Entry]:
        """Those files that there are, with their replicas, by their LFNs."""
        found: dict[str, Entry] = {}
        for some in _some(sorted(set(lfns))):
            query = select(File).where(*self._of(File.lfn.in_(some)))
            rows = self._db.scalars(query, execution_options=AFRESH).all()
            replicas = self._replicas([row.file_id for row in rows])
            found |= {row.lfn: _entry(row, replicas.get(row.file_id, ())) for row in rows}
        return found

    def existing(self, lfns: Collection[str]) -> set[str]:
        """Those that are files, or folders with files in them."""
        wanted = sorted(set(lfns))
        files = set(self._files(wanted))
        return files | {one for one in wanted if one not in files and self._is_folder(one)}

    def children(self, folder: str, *, after: str = "", most: int = 1000) -> Folder:
        """What is right below a folder, in the order of names."""
        found = Folder([], [])
        files: list[str] = []
        for name in self._names(folder, after, most):
            if len(files) + len(found.folders) == most:
                break
            after = name
            found.folders.append(name[:-1]) if name.endswith("/") else files.append(f"{folder}/{name}")
        else:
            after = ""
        entries = self.look_up(files)
        return Folder(found.folders, [entries[lfn] for lfn in files], after or None)

    def below(self, folder: str, most: int) -> Sequence[Entry]:
        """Up to so many files of a folder, in any depth, with their replicas."""
        query = select(File.lfn).where(*self._of(_below(folder))).order_by(File.lfn).limit(most)
        lfns = list(self._db.scalars(query))
        entries = self.look_up(lfns)
        return [entries[lfn] for lfn in lfns if lfn in entries]

    def register(self, files: Sequence[Entry]) -> Sequence[Entry]:
        """Enter files with their replicas, all or none; answers those that were replaced."""
        wanted = _distinct(files)
        self._refuse_folders(wanted)
        replaced = [one for some in _some(list(wanted.values())) for one in self._enter(some)]
        return replaced

    def remove(self, lfns: Collection[str]) -> Sequence[Entry]:
        """Forget files; answers those that were there."""
        removed = []
        for some in _some(sorted(set(lfns))):
            rows = self._held(some)
            ids = [row.file_id for row in rows.values()]
            replicas = self._replicas(ids)
            removed += [_entry(row, replicas.get(row.file_id, ())) for row in rows.values()]
            changed(self._db, delete(ReplicaRow).where(ReplicaRow.file_id.in_(ids)))
            changed(self._db, delete(File).where(File.file_id.in_(ids)))
        return removed

    def replicas_at(self, places: Collection[Replica]) -> set[Replica]:
        """Those places at which a replica of a file is."""
        found = set()
        for se in {one.se for one in places}:
            for some in _some(sorted(one.pfn for one in places if one.se == se)):
                query = select(ReplicaRow.pfn).where(ReplicaRow.se == se, ReplicaRow.pfn.in_(some))
                found |= {Replica(se, pfn) for pfn in self._db.scalars(query)}
        return found

    def _of(self, *conditions: ColumnElement[bool]) -> list[ColumnElement[bool]]:
        return [File.vo == self._vo, *conditions]

    def _files(self, lfns: Sequence[str]) -> Iterator[str]:
        for some in _some(lfns):
            yield from self._db.scalars(select(File.lfn).where(*self._of(File.lfn.in_(some))))

    def _is_folder(self, lfn: str) -> bool:
        return self._db.scalar(select(File.lfn).where(*self._of(_below(lfn))).limit(1)) is not None

    def _held(self, lfns: Sequence[str]) -> dict[str, File]:
        """The files as they are now, until the transaction ends."""
        query = select(File).where(*self._of(File.lfn.in_(lfns))).order_by(File.lfn).with_for_update()
        rows = self._db.scalars(query, execution_options=AFRESH)
        return {row.lfn: row for row in rows}

    def _replicas(self, ids: Sequence[int]) -> dict[int, tuple[Replica, ...]]:
        query = select(ReplicaRow.file_id, ReplicaRow.se, ReplicaRow.pfn).order_by(ReplicaRow.se)
        found: dict[int, tuple[Replica, ...]] = {}
        for file_id, se, pfn in self._db.execute(query.where(ReplicaRow.file_id.in_(ids))):
            found[file_id] = (*found.get(file_id, ()), Replica(se, pfn))
        return found

    def _names(self, folder: str, after: str, most: int) -> Iterator[str]:
        """Names right below a folder, those of folders with a slash behind; each folder is one look."""
        start = f"{folder}/{_behind(after) if after else ''}"
        while True:
            among = (File.lfn >= start, File.lfn < folder + BEHIND_SLASH)
            query = select(File.lfn).where(*self._of(*among)).order_by(File.lfn).limit(most + 1)
            rows, last = self._db.scalars(query).all(), ""
            for lfn in rows:
                name, slash, _ = lfn[len(folder) + 1 :].partition("/")
                if name + slash != last:
                    last = name + slash
                    yield last
            if len(rows) <= most:
                return
            start = f"{folder}/{_behind(last)}"

    def _refuse_folders(self, wanted: dict[str, Entry]) -> None:
        above = {parent: lfn for lfn in wanted for parent in _parents(lfn)}
        if file := next((one for one in self._files(sorted(above))), None) or next(
            (one for one in above if one in wanted), None
        ):
            raise Taken(f"{above[file]} cannot be: {file} is a file")
        for some in _some(list(wanted)):
            inside = or_(*(_below(lfn) for lfn in some))
            if found := self._db.scalar(select(File.lfn).where(*self._of(inside)).limit(1)):
                folder = next(lfn for lfn in some if found.startswith(f"{lfn}/"))
                raise Taken(f"{folder} cannot be a file: it is a folder with {found} in it")

    def _enter(self, files: Sequence[Entry]) -> list[Entry]:
        add_unless_there(self._db, File, [_row(self._vo, one) for one in files])
        held, replaced = self._held([one.lfn for one in files]), []
        replicas = self._replicas([row.file_id for row in held.values()])
        for file in files:
            row = held[file.lfn]
            if row.guid != file.guid:
                replaced += self._reconcile(row, replicas.get(row.file_id, ()), file)
        rows = [
            {"FileID": held[file.lfn].file_id, "SE": one.se, "PFN": one.pfn, "CreatedAt": now()}
            for file in files
            for one in file.replicas
        ]
        add_unless_there(self._db, ReplicaRow, rows)
        return replaced

    def _reconcile(self, row: File, replicas: tuple[Replica, ...], file: Entry) -> list[Entry]:
        """What is replaced when a file comes under an LFN that is there."""
        there = _entry(row, replicas)
        this = File.file_id == row.file_id
        if not there.content.is_other(file.content):
            whole = there.content.completed(file.content)
            if whole != there.content:
                changed(self._db, update(File).where(this).values(_known(whole)))
            return []
        if file.job_id is None or file.job_id != there.job_id:
            raise Taken(f"{file.lfn} is there with another content ({there.content}), not {file.content}")
        changed(self._db, delete(ReplicaRow).where(ReplicaRow.file_id == row.file_id))
        anew = {"guid": file.guid, "size": file.content.size, "created_at": now(), **_known(file.content)}
        changed(self._db, update(File).where(this).values(anew))
        return [there]


def _distinct(files: Sequence[Entry]) -> dict[str, Entry]:
    """Files by their LFNs in order: two that lock the same never wait for each other."""
    found: dict[str, Entry] = {}
    for file in sorted(files, key=lambda one: one.lfn):
        other = found.setdefault(file.lfn, file)
        if other.content.is_other(file.content):
            raise Taken(f"{file.lfn} is wanted for two contents: {other.content}, and {file.content}")
    return found


def _row(vo: str, file: Entry) -> dict[str, Any]:
    content = file.content
    return {
        "VO": vo,
        "LFN": file.lfn,
        "GUID": file.guid,
        "Size": content.size,
        "Adler32": content.adler32,
        "SHA1": content.sha1,
        "SHA256": content.sha256,
        "Owner": file.owner,
        "OwnerGroup": file.group,
        "JobID": file.job_id,
        "CreatedAt": now(),
    }


def _known(content: Content) -> dict[str, Any]:
    return {"adler32": content.adler32, "sha1": content.sha1, "sha256": content.sha256}


def _entry(row: File, replicas: tuple[Replica, ...]) -> Entry:
    content = Content(row.size, row.adler32, row.sha1, row.sha256)
    moment = row.created_at.isoformat()
    return Entry(row.lfn, content, row.guid, row.owner, row.group, replicas, row.job_id, moment)


def _below(folder: str) -> ColumnElement[bool]:
    return and_(File.lfn >= f"{folder}/", File.lfn < folder + BEHIND_SLASH)


def _behind(name: str) -> str:
    """Where the names begin that come after a name, or after all that is in a folder."""
    return name[:-1] + BEHIND_SLASH if name.endswith("/") else name + FIRST


def _parents(lfn: str) -> Iterator[str]:
    parts = lfn.split("/")
    yield from ("/".join(parts[:count]) for count in range(2, len(parts)))


def _some(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]
