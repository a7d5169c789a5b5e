"""The pilot as one file, for the script that starts it on a node: no token is needed, it holds no secret."""

import base64
from typing import Annotated, Any

from fastapi import Header, Query, Response
from fastapi.responses import FileResponse

from diracx_api.deps import Router
from diracx_tasks.auth import rights
from diracx_tasks.core.errors import NotFound
from diracx_tasks.pilots import pilot_file
from diracx_tasks.pilots.package import NAME
from diracx_tasks.pilots.pilot_file import PilotFile

router = Router("pilots", "/api/pilots")
KIND = "application/zip"
WANTED = Annotated[
    str | None,
    Query(
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the file that is wanted: also an earlier one that is still kept.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    ),
]
KNOWN = Annotated[
    str | None,
    Header(
        description="The ETag of what the client has: 304 if it is the file's.",
        examples=['"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"'],
    ),
]
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {KIND: {"schema": {"type": "string", "format": "binary"}}},
        "description": "The file; its SHA-256 is in ETag (hexadecimal) and in Repr-Digest (base64).",
    },
    304: {"description": "The client has it."},
    503: {"description": "It is being made: ask again after Retry-After."},
}
TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


@router.get(f"/{NAME}", right=rights.anyone, response_class=FileResponse, responses=ANSWERS)
def get_pilot_file(sha256: WANTED = None, if_none_match: KNOWN = None) -> Any:
    """The pilot as one file, which a node with Python and nothing else runs."""
    found = _found(sha256)
    digest = base64.b64encode(bytes.fromhex(found.sha256)).decode()
    headers = {
        "ETag": f'"{found.sha256}"',
        "Repr-Digest": f"sha-256=:{digest}:",
        "Cache-Control": "public, max-age=31536000, immutable" if sha256 else "public, max-age=60",
    }
    if if_none_match and found.sha256 in if_none_match:
        return Response(status_code=304, headers=headers)
    return FileResponse(found.path, filename=NAME, media_type=KIND, headers=headers)


@router.get("/diracx-pilot.sha256", right=rights.anyone, responses=TEXT, response_class=Response)
def get_pilot_checksum() -> Any:
    """The checksum of the pilot's file, as `sha256sum --check` reads it."""
    found = pilot_file.current_if_made()
    headers = {"Cache-Control": "public, max-age=60"}
    return Response(f"{found.sha256}  {NAME}\n", headers=headers, media_type="text/plain")


def _found(wanted: str | None) -> PilotFile:
    if wanted and (earlier := pilot_file.kept(wanted)):
        return earlier
    found = pilot_file.current_if_made()
    if wanted and found.sha256 != wanted:
        raise NotFound(f"the pilot's file with the SHA-256 {wanted} is not here, but {found.sha256}")
    return found
