"""What goes in and comes out of the routes of files with LFNs."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from diracx_api.models import jobs
from diracx_api.models.fields import LARGEST, stated

Lfn = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Se = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{64}$")]
Sha1 = Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{40}$")]
Adler32 = Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{8}$")]
EXAMPLE = "9f86d08" + "0" * 57
AN_LFN = "/lhcb/user/a/alice/x.root"
AN_ADDRESS = "http://localhost:8000/api/…"
MOST = 10_000


class Replica(BaseModel):
    """A copy of a file."""

    se: str = stated("The storage element.", "SE-USER")
    pfn: str = stated("What the element knows it by.", "data/lhcb/9f8…")


class File(BaseModel):
    """A file of the catalogue."""

    lfn: str = stated("Its LFN.", AN_LFN)
    size: int = stated("Bytes.", 1024)
    guid: str = stated("Its GUID.", "5F9C2A7E-0D3B-4C0A-9B7E-2F1A6E8D4C31")
    adler32: str | None = stated("Adler-32 in hex, if it is known.", "1a0b045d")
    sha1: str | None = stated("SHA-1 in hex, if it is known.", "a" * 40)
    sha256: str | None = stated("SHA-256 in hex, if it is known.", EXAMPLE)
    owner: str = stated("Who has registered it.", "alice")
    group: str = stated("In which group.", "user")
    job_id: int | None = stated("The job whose output it is.", 17)
    created_at: str = stated("When, in UTC.", "2026-11-20T10:00:00")
    replicas: list[Replica] = stated("Where it is.", [{"se": "SE-USER", "pfn": "data/lhcb/9f8…"}])


class Found(BaseModel):
    """What the catalogue knows of some LFNs."""

    files: dict[str, File] = stated("Files by the LFNs asked for.", {})
    missing: list[str] = stated("LFNs that are not there.", [])


class Folder(BaseModel):
    """What is right below a folder."""

    lfn: str = stated("The folder.", "/lhcb/user/a/alice")
    folders: list[str] = stated("Names of folders in it.", ["run1"])
    files: list[File] = stated("Files in it.", [])
    after: str | None = stated("There is more: ask again with this; null: that is all.", None)


class Lfns(BaseModel):
    """Some LFNs."""

    model_config = ConfigDict(extra="forbid")

    lfns: list[Lfn] = stated("LFNs.", [AN_LFN], max_length=MOST)


class Announced(BaseModel):
    """A file that is to be stored: what it is, and where it may go."""

    checksum: Sha256 = stated("SHA-256 of the content in hex.", EXAMPLE)
    size: int = stated("Bytes.", 1024, ge=0, le=LARGEST)
    se: list[Se] = stated(
        "The storage elements that it may go to, the best first; any when it names none.",
        ["SE-USER"],
        default=[],
        max_length=100,
    )
    failed: list[Se] = stated(
        "Those that an upload has failed at: the last resort.", ["SE-TAPE"], default=[], max_length=100
    )


class Upload(Announced):
    """A file to be stored under an LFN."""

    model_config = ConfigDict(extra="forbid")

    lfn: Lfn = stated("Its LFN.", AN_LFN)


class Uploads(BaseModel):
    """Files to be stored."""

    model_config = ConfigDict(extra="forbid")

    files: list[Upload] = stated("The files.", [], max_length=MOST)


class Grant(jobs.Grant):
    """Where and how to upload a file, and the storage element that it is for."""

    se: str | None = stated("The storage element; null: the sandbox store.", "SE-USER", default=None)


class Registered(BaseModel):
    """A file that has been uploaded and is to be in the catalogue."""

    model_config = ConfigDict(extra="forbid")

    lfn: Lfn = stated("Its LFN.", AN_LFN)
    se: Se = stated("The storage element where it is.", "SE-USER")
    checksum: Sha256 = stated("SHA-256 of the content in hex.", EXAMPLE)
    size: int = stated("Bytes.", 1024, ge=0, le=LARGEST)
    sha1: Sha1 | None = stated("SHA-1 in hex.", "a" * 40, default=None)
    adler32: Adler32 | None = stated("Adler-32 in hex.", "1a0b045d", default=None)


class Files(BaseModel):
    """Files that have been uploaded: all of them count, or none."""

    model_config = ConfigDict(extra="forbid")

    files: list[Registered] = stated("The files.", [], max_length=MOST)


class Address(BaseModel):
    """Where to fetch a file; for an LFN that is a folder there is one for each file below it."""

    location: str = stated("As it was asked for, or of a file below it.", f"lfn:{AN_LFN}")
    url: str = stated("A signed address.", AN_ADDRESS)
    urls: list[str] = stated("All addresses, the best first.", [AN_ADDRESS], default=[])
    size: int | None = stated("Bytes that it must have.", 1024, default=None)
    checksum: str | None = stated(
        "What it must have: sha256, sha1 or adler32, and hex; null when the location says it.",
        "adler32:1a0b045d",
        default=None,
    )
    guid: str | None = stated(
        "Its GUID, of a file of the catalogue.", "5F9C2A7E-0D3B-4C0A-9B7E-2F1A6E8D4C31", default=None
    )


class Element(BaseModel):
    """A storage element that the VO may use."""

    name: str = stated("Its name.", "SE-USER")
    can_be_read: bool = stated("Whether it may be read now.", True)
    can_be_written: bool = stated("Whether it may be written to now.", True)
