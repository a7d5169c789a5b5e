"""Stored files for browsers: to be looked at, and to be kept; what users wrote never runs here."""

import re
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request, Response
from fastapi.responses import FileResponse, RedirectResponse
from sqlalchemy.orm import Session

from diracx_api.deps import Db, ReadDb
from diracx_api.ui import render
from diracx_api.ui.preview import JSON_BYTES, PICTURE_BYTES, picture_kind, preview
from diracx_api.ui.router import Me, Pages
from diracx_tasks.auth import rights
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.sandboxes import metadata
from diracx_tasks.sandboxes.metadata import Owner
from diracx_tasks.sandboxes.store import FolderStore, store
from diracx_tasks.storage import read
from diracx_tasks.storage.names import is_lfn, lfn_of

router = Pages("/stored")
LONGEST = 600
At = Annotated[str, Query(min_length=1, max_length=LONGEST)]
Name = Annotated[str, Query(max_length=255)]
# Should a browser show it after all, it may load nothing, run nothing, and is of nobody's origin.
HARMLESS = {
    **render.NO_STORE,
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]+')


def address(what: str, location: str, name: str) -> str:
    """The address of a stored file: `what` is empty for its page, `/content` or `/picture`."""
    return f"/ui/stored{what}?{urlencode({'at': location, 'name': name})}"


@router.get("", right=rights.read)
def show_file(db: ReadDb, request: Request, me: Me, at: At, name: Name = "") -> Response:
    """A file in a page, with a preview where there can be one."""
    data, size = beginning(db, at, me, JSON_BYTES)
    return render.page(
        request,
        "stored.html",
        name=file_name(name, at),
        at=at,
        size=size,
        shown=preview(data, size),
        content=address("/content", at, file_name(name, at)),
        picture=address("/picture", at, name),
    )


@router.get("/content", right=rights.read)
def get_content(db: Db, me: Me, at: At, name: Name = "") -> Response:
    """The file itself, to be kept."""
    if is_lfn(at):
        (found, *_) = read.addresses(db, me.vo, [lfn_of(at)])
        return RedirectResponse(found.urls[0], 303, render.NO_STORE)
    kept = file_name(name, at)
    url = metadata.download_url(db, at, Owner.of(me), is_admin=_is_admin(me), name=kept)
    place = store()
    if not isinstance(place, FolderStore):
        return RedirectResponse(url, 303, render.NO_STORE)
    key = metadata.find(db, at, Owner.of(me), is_admin=_is_admin(me)).key
    return FileResponse(
        place.path(key), media_type="application/octet-stream", filename=kept, headers=HARMLESS
    )


@router.get("/picture", right=rights.read)
def get_picture(db: ReadDb, me: Me, at: At, name: Name = "") -> Response:
    """A PNG or JPEG as such; nothing else is given from here."""
    data, size = beginning(db, at, me, PICTURE_BYTES)
    kind = picture_kind(data)
    if kind is None or size > PICTURE_BYTES:
        raise BadRequest(f"{file_name(name, at)} is no PNG or JPEG of up to {PICTURE_BYTES} bytes")
    return Response(data, media_type=kind, headers=HARMLESS)


def beginning(db: Session, at: str, me: User, most: int) -> tuple[bytes, int]:
    """The first bytes of a file that somebody may read, and how many it has."""
    if is_lfn(at):
        return read.beginning(db, me.vo, lfn_of(at), most)
    found = metadata.find(db, at, Owner.of(me), is_admin=_is_admin(me))
    return store().read(found.key, most), found.size


def file_name(name: str, at: str) -> str:
    """What a file is called where it is kept: never a path, nor the way to another folder."""
    found = UNSAFE.sub("_", name or at.rpartition("/")[2]).strip(" .")
    return found or "file"


def _is_admin(me: User) -> bool:
    return rights.ADMIN in me.properties
