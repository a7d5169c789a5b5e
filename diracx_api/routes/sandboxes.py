"""The folder store behind signed addresses, for installations without S3."""

from typing import Annotated

from fastapi import Path, Query, Request
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from diracx_api.deps import Router
from diracx_tasks.auth import rights
from diracx_tasks.core.errors import BadRequest, NotFound
from diracx_tasks.sandboxes.store import FolderStore, store

router = Router("sandboxes", "/api/sandboxes")


@router.post("/files", right=rights.signed_url, status_code=204, max_body_size=None)
async def upload_file(request: Request) -> None:
    """Store a file under an upload grant: multipart form with the grant's fields and the file as `file`."""
    await receive(request, _folder())


async def receive(request: Request, folder: FolderStore) -> None:
    """Put what a form brings into a folder; BadRequest when it is no form of a grant."""
    async with request.form(max_files=1) as form:
        content = form.get("file")
        fields = {name: str(value) for name, value in form.items() if not isinstance(value, UploadFile)}
        if not isinstance(content, UploadFile):
            raise BadRequest("the form lacks the file")
        try:
            await run_in_threadpool(folder.receive, fields, content.file)
        except KeyError as error:
            raise BadRequest(f"the form lacks the field {error}") from error


@router.get("/files/{key:path}", right=rights.signed_url)
def download_file(
    key: Annotated[
        str,
        Path(max_length=512, description="The file's name.", examples=["lhcb/user/alice/sha256:9f8….file"]),
    ],
    expires: Annotated[
        str, Query(max_length=20, description="Until when it holds.", examples=["1795430000"])
    ],
    signature: Annotated[str, Query(max_length=64, description="Of name and end.", examples=["0" * 64])],
) -> FileResponse:
    """A file behind a signed address."""
    return FileResponse(_folder().locate(key, expires, signature), media_type="application/octet-stream")


def _folder() -> FolderStore:
    found = store()
    if not isinstance(found, FolderStore):
        raise NotFound("the files are in S3, not here")
    return found
