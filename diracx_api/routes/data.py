"""Files with LFNs: the VO's catalogue, and the way to and from its storage elements."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from diracx_api.deps import Db, Me, ReadDb, Router
from diracx_api.models import data as models
from diracx_api.routes.sandboxes import receive
from diracx_tasks.auth import rights
from diracx_tasks.core.errors import NotFound
from diracx_tasks.storage import elements, read, write
from diracx_tasks.storage.catalogue import catalogue
from diracx_tasks.storage.entries import Entry
from diracx_tasks.storage.names import Writer, checked, location_of
from diracx_tasks.storage.read import Address
from diracx_tasks.storage.write import Announced, Uploaded

router = Router("data", "/api/data")
LONGEST = 300
EXAMPLE = "/lhcb/user/a/alice/x.root"
AnLfn = Annotated[str, Query(min_length=1, max_length=LONGEST, description="An LFN.", examples=[EXAMPLE])]
SomeLfns = Annotated[
    list[Annotated[str, Query(min_length=1, max_length=LONGEST)]],
    Query(max_length=1000, description="LFNs.", examples=[[EXAMPLE]]),
]
ElementName = Annotated[str, Path(max_length=64, description="The storage element.", examples=["SE-USER"])]


@router.get("/files", right=rights.read, response_model=models.File)
def get_file(db: ReadDb, me: Me, lfn: AnLfn) -> Any:
    """What the catalogue knows of a file, and where its replicas are."""
    if entry := read.resolve(db, me.vo, [lfn]).get(lfn):
        return _file(entry)
    raise NotFound(f"{lfn} is not in the file catalogue of {me.vo}")


@router.post("/files/look-up", right=rights.read, response_model=models.Found)
def look_up_files(db: ReadDb, me: Me, body: models.Lfns) -> Any:
    """The same of many files at once."""
    found = read.resolve(db, me.vo, body.lfns)
    missing = [lfn for lfn in body.lfns if lfn not in found]
    return {"files": {lfn: _file(entry) for lfn, entry in found.items()}, "missing": missing}


@router.get("/folder", right=rights.read, response_model=models.Folder)
def list_folder(
    db: ReadDb,
    me: Me,
    lfn: AnLfn,
    after: Annotated[
        str,
        Query(max_length=LONGEST, description="The last answer's `after`.", examples=["run1/"]),
    ] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.", examples=[100])] = 1000,
) -> Any:
    """What is right below a folder; one with nothing in it is not there."""
    folder = checked(lfn, me.vo)
    found = catalogue(db, me.vo).children(folder, after=after, most=limit)
    if not (found.folders or found.files or after):
        raise NotFound(f"{folder} is no folder of the file catalogue of {me.vo}")
    files = [_file(entry) for entry in found.files]
    return {"lfn": folder, "folders": found.folders, "files": files, "after": found.after}


@router.post("/uploads", right=rights.submit, response_model=list[models.Grant])
def initiate_uploads(db: Db, me: Me, body: models.Uploads) -> Any:
    """How to upload files; below `/<vo>/user/<initial>/<name>/`, elsewhere for managers of the catalogue."""
    files = [
        Announced(one.lfn, one.size, one.checksum, tuple(one.se), tuple(one.failed)) for one in body.files
    ]
    return write.announce(db, Writer.of(me), files)


@router.post("/files", right=rights.submit, response_model=models.Lfns)
def register_files(db: Db, me: Me, body: models.Files) -> Any:
    """Enter uploaded files into the catalogue: all of them, or none."""
    return {"lfns": write.register(db, Writer.of(me), uploaded(body.files))}


@router.post("/downloads", right=rights.read, response_model=list[models.Address])
def get_downloads(db: ReadDb, me: Me, body: models.Lfns) -> Any:
    """Where to fetch files; of a folder, all files in it."""
    return [address_of(one) for one in read.addresses(db, me.vo, body.lfns)]


@router.delete("/files", right=rights.submit, response_model=models.Lfns)
def remove_files(db: Db, me: Me, lfn: SomeLfns) -> Any:
    """Remove files with all their replicas; answers those that were there."""
    return {"lfns": write.remove(db, Writer.of(me), lfn)}


@router.get("/elements", right=rights.read, response_model=list[models.Element])
def list_elements(db: ReadDb, me: Me) -> Any:
    """The storage elements that the VO may use."""
    readable, writable = (elements.usable(db, me.vo, access) for access in ("read", "write"))
    return [
        {"name": name, "can_be_read": name in readable, "can_be_written": name in writable}
        for name in elements.names(me.vo)
    ]


@router.post("/elements/{name}", right=rights.signed_url, status_code=204, max_body_size=None)
async def upload_file(request: Request, name: ElementName) -> None:
    """Store a file under an upload grant: multipart form with the grant's fields and the file as `file`."""
    await receive(request, await run_in_threadpool(elements.folder_of, name))


@router.get("/elements/{name}/{pfn:path}", right=rights.signed_url)
def download_file(
    name: ElementName,
    pfn: Annotated[str, Path(max_length=512, description="The file there.", examples=["data/lhcb/9f8…"])],
    expires: Annotated[
        str, Query(max_length=20, description="Until when it holds.", examples=["1795430000"])
    ],
    signature: Annotated[str, Query(max_length=64, description="Of name and end.", examples=["0" * 64])],
) -> FileResponse:
    """A file behind a signed address."""
    place = elements.folder_of(name).locate(pfn, expires, signature)
    return FileResponse(place, media_type="application/octet-stream")


def uploaded(files: Sequence[models.Registered]) -> list[Uploaded]:
    """Files as the verb takes them."""
    return [Uploaded(one.lfn, one.se, one.size, one.checksum, one.sha1, one.adler32) for one in files]


def address_of(one: Address) -> dict[str, Any]:
    """An address as the routes tell it."""
    return {
        "location": location_of(one.lfn),
        "url": one.urls[0],
        "urls": one.urls,
        "size": one.size,
        "checksum": one.checksum,
        "guid": one.guid or None,
    }


def _file(entry: Entry) -> dict[str, Any]:
    content = entry.content
    return {
        "lfn": entry.lfn,
        "size": content.size,
        "guid": entry.guid,
        "adler32": content.adler32,
        "sha1": content.sha1,
        "sha256": content.sha256,
        "owner": entry.owner,
        "group": entry.group,
        "job_id": entry.job_id,
        "created_at": entry.created_at,
        "replicas": [{"se": one.se, "pfn": one.pfn} for one in entry.replicas],
    }
