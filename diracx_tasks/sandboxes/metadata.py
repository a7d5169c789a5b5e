"""Whose a stored file is, where it lies, and which job or workflow it belongs to."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed, now, utc_now
from diracx_tasks.core.errors import BadRequest, Forbidden, NotFound, TooLarge
from diracx_tasks.core.settings import settings
from diracx_tasks.core.unless_there import add_unless_there
from diracx_tasks.sandboxes.store import Grant, store
from diracx_tasks.sandboxes.tables import Mapping as Mapping_
from diracx_tasks.sandboxes.tables import Sandbox, SandboxOwner

SE = "SandboxSE"
FORMATS = ("tar.bz2", "tar.zst", "file")
# DiracX's own pattern of PFNs, without the prefix of the storage element.
PFN = re.compile(r"^/S3/[a-z0-9.\-]{3,63}(?:/[^/]+){3}/[a-z0-9]{3,10}:[0-9a-f]{64}\.[a-z0-9.]+\Z")
MOST_CONTENTS = 64 * 1024
# What DIRAC's table has room for.
LONGEST = {"name": 32, "group": 32, "vo": 64}


@dataclass(frozen=True)
class Owner:
    """A user in one of his groups."""

    name: str
    group: str
    vo: str

    @classmethod
    def of(cls, user: User) -> "Owner":
        """What somebody stores is his in the group that he works in."""
        return cls(user.name, user.group, user.vo)

    @property
    def prefix(self) -> str:
        """Where all PFNs of the owner begin."""
        return f"{self.vo_prefix}{self.group}/{self.name}/"

    @property
    def vo_prefix(self) -> str:
        """Where all PFNs of the owner's VO begin."""
        return f"/S3/{store().bucket}/{self.vo}/"


def initiate(db: Session, owner: Owner, *, checksum: str, size: int, kind: str = "file") -> Grant:
    """Announce a file: `{"pfn", "url", "fields"}` of its upload; `url` is None when it is stored already."""
    if size > settings().sandbox_bytes:
        raise TooLarge(f"Sandbox too large, maximum allowed is {settings().sandbox_bytes} bytes")
    pfn = f"{owner.prefix}sha256:{checksum.lower()}.{kind}"
    is_new = _register(db, owner, pfn, size)
    if not is_new and store().has(key_of(pfn)):
        return {"pfn": f"SB:{SE}|{pfn}", "url": None, "fields": {}}
    return {"pfn": f"SB:{SE}|{pfn}", **store().grant(key_of(pfn), checksum=checksum.lower(), size=size)}


def keep(db: Session, owner: Owner, content: bytes) -> str:
    """The location of a small file that came with a request, stored now; twice is harmless."""
    grant = initiate(db, owner, checksum=hashlib.sha256(content).hexdigest(), size=len(content))
    if grant["url"] is not None:
        store().put(key_of(plain(grant["pfn"])), content)
    return location_of(grant["pfn"])


class Stored(NamedTuple):
    """A file in the store: its name there, and its bytes."""

    key: str
    size: int


def find(db: Session, name: str, owner: Owner, *, is_admin: bool = False) -> Stored:
    """One of the owner's files, for an administrator any of his VO; NotFound when it is not kept any more."""
    found = _owned(name, owner, owner.vo_prefix if is_admin else owner.prefix)
    size = db.scalar(select(Sandbox.size).where(Sandbox.se_name == SE, Sandbox.pfn == found))
    if size is None:
        raise NotFound(f"{found} is not kept any more")
    return Stored(key_of(found), int(size))


def download_url(db: Session, pfn: str, owner: Owner, *, is_admin: bool = False, name: str = "") -> str:
    """A signed address of one of the owner's files; an administrator may have any of his VO.

    With a name, S3 has browsers keep the file under it instead of showing it.
    """
    found = _owned(pfn, owner, owner.vo_prefix if is_admin else owner.prefix)
    known = (Sandbox.se_name == SE, Sandbox.pfn == found)
    if not changed(db, update(Sandbox).where(*known).values(accessed_at=utc_now())):
        raise BadRequest(f"Sandbox with {found} not found")
    return store().url(key_of(found), name)


def contents(location: str, owner: Owner) -> str:
    """The text of a small file; BadRequest beyond CWL's 64 KiB."""
    data = store().read(key_of(_owned(location, owner)), MOST_CONTENTS + 1)
    if len(data) > MOST_CONTENTS:
        raise BadRequest(f"{location} is larger than the 64 KiB that loadContents may read")
    return data.decode(errors="replace")


def assign(db: Session, entity: str, locations: Iterable[str], kind: str) -> None:
    """Say that a job or workflow uses files, so that they are kept; repeating it is harmless."""
    assign_many(db, {entity: list(locations)}, kind)


def assign_many(db: Session, used: Mapping[str, Iterable[str]], kind: str) -> None:
    """The same for several jobs or workflows and their files."""
    pfns = {entity: {plain(one) for one in names if is_stored(one)} for entity, names in used.items()}
    wanted = set().union(*pfns.values())
    if not wanted:
        return
    query = select(Sandbox.pfn, Sandbox.sandbox_id).where(Sandbox.se_name == SE, Sandbox.pfn.in_(wanted))
    ids = dict(db.execute(query).all())
    rows = [
        {"SBId": ids[pfn], "EntityId": entity, "Type": kind}
        for entity, names in pfns.items()
        for pfn in sorted(names & ids.keys())
    ]
    if rows:
        add_unless_there(db, Mapping_, rows)
        changed(db, update(Sandbox).where(Sandbox.sandbox_id.in_(ids.values())).values(is_assigned=True))


def present(db: Session, locations: Collection[str]) -> set[str]:
    """Those of some stored files that the store still has."""
    pfns = {plain(one): one for one in locations}
    query = select(Sandbox.pfn).where(Sandbox.se_name == SE, Sandbox.pfn.in_(pfns))
    return {pfns[pfn] for pfn in db.scalars(query)} if pfns else set()


def refuse_foreign(locations: Collection[str], owner: Owner, *, is_admin: bool = False) -> None:
    """Raise Forbidden for a stored file that is not the owner's, or for an administrator not his VO's."""
    for location in locations:
        if is_stored(location):
            _owned(location, owner, owner.vo_prefix if is_admin else owner.prefix)


def is_stored(location: str) -> bool:
    """Whether a location is in the store."""
    return location.startswith(("sandbox:", "SB:"))


def named(pfn: str) -> str:
    """The PFN with its storage element."""
    return f"SB:{SE}|{plain(pfn)}"


def location_of(pfn: str) -> str:
    """The location of a file in CWL values."""
    return f"sandbox:{plain(pfn)}"


def plain(name: str) -> str:
    """The PFN of a file, however it is named."""
    return name.removeprefix("sandbox:").removeprefix(f"SB:{SE}|")


def _owned(name: str, owner: Owner, prefix: str | None = None) -> str:
    found, wanted = plain(name), prefix or owner.prefix
    if not PFN.match(found) or ".." in found:
        raise BadRequest(f"{name!r} is not the name of a sandbox")
    if not found.startswith(wanted):
        raise Forbidden(f"Invalid PFN. PFN must start with {wanted}")
    return found


def key_of(pfn: str) -> str:
    """The name in the store."""
    return pfn.split("/", 3)[3]


def _register(db: Session, owner: Owner, pfn: str, size: int) -> bool:
    """Whether the row is new; an old one is marked as used just now."""
    found = changed(
        db, update(Sandbox).where(Sandbox.se_name == SE, Sandbox.pfn == pfn).values(accessed_at=utc_now())
    )
    if found:
        return False
    row = {
        "OwnerId": _owner_id(db, owner),
        "SEName": SE,
        "SEPFN": pfn,
        "Bytes": size,
        "RegistrationTime": now(),
        "LastAccessTime": now(),
        "Assigned": False,
    }
    # Two pilots may announce the same file at once.
    add_unless_there(db, Sandbox, [row])
    return True


def _owner_id(db: Session, owner: Owner) -> int:
    for what, most in LONGEST.items():
        if len(getattr(owner, what)) > most:
            raise BadRequest(f"sandboxes belong to a {what} of {most} characters at most, not {owner}")
    query = select(SandboxOwner.owner_id).where(
        SandboxOwner.owner == owner.name, SandboxOwner.group == owner.group, SandboxOwner.vo == owner.vo
    )
    found = db.scalar(query)
    if found is None:
        add_unless_there(db, SandboxOwner, [{"Owner": owner.name, "OwnerGroup": owner.group, "VO": owner.vo}])
        found = db.scalars(query).one()
    return found
