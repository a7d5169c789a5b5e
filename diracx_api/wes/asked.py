"""The body of RunWorkflow (GA4GH WES 1.1): a multipart form as a submission of ours."""

import base64
import binascii
import json
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

from fastapi import Depends, Header, Request
from starlette.datastructures import FormData, UploadFile

from diracx_api.wes.attached import attached
from diracx_api.wes.engine import ENGINE, VERSIONS, engine_version, named
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.cwl.bundle import MAX_BYTES, MAX_FILES, Bundle
from diracx_tasks.workflows import submit

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
INLINE = "workflow.cwl"
FILES = "workflow_attachment"
OBJECTS = ("workflow_params", "tags", "workflow_engine_parameters")
REPEATED = ("workflow_type", "workflow_type_version", "workflow_engine", "workflow_engine_version")
# Kept with the tags: GetRunLog repeats the request. No tag of a user's has a value that is no text.
REQUEST = "wes:request"
MOST_TAGS = 1000
Key = Annotated[
    str | None,
    Header(
        max_length=128,
        description="The same key a second time gives the first run.",
        examples=["7f2c9a"],
    ),
]


async def asked(request: Request, idempotency_key: Key = None) -> submit.Request:
    """What is to be run; BadRequest or InvalidCwl when that cannot be understood."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in FORMS:
        raise BadRequest(f"the body is {kind or 'of no stated type'}, not multipart/form-data")
    async with request.form(max_files=MAX_FILES, max_part_size=MAX_BYTES) as form:
        files = await _files(form)
        fields = {name: await _text(name, value) for name, value in form.items() if name != FILES}
    return _request(fields, files, idempotency_key)


Asked = Annotated[submit.Request, Depends(asked)]


def _request(fields: dict[str, str], files: dict[str, bytes], key: str | None) -> submit.Request:
    _refuse_others(fields)
    objects = {name: _object(fields, name) for name in OBJECTS}
    inputs, tags, stated = objects.values()
    objects["workflow_engine_parameters"] = {name: _said(value) for name, value in stated.items()}
    if len(tags) > MOST_TAGS or not all(isinstance(value, str) for value in tags.values()):
        raise BadRequest(f"tags are an object of at most {MOST_TAGS} texts")
    url = fields["workflow_url"].strip()
    bundle = _bundle(url, files)
    original = {name: fields[name] for name in REPEATED if fields.get(name)}
    main = {"workflow_url": bundle.entrypoint if _is_inline(url) else url}
    name, options = named(stated)
    return submit.Request(
        bundle=bundle,
        inputs=attached(inputs, bundle.files),
        name=name,
        key=key,
        options=options,
        tags={**tags, REQUEST: {**original, **objects, **main}},
    )


def _said(value: Any) -> str:
    """A parameter's value as the standard has it: a text."""
    return value if isinstance(value, str) else json.dumps(value)


def _refuse_others(fields: dict[str, str]) -> None:
    """Raise BadRequest unless it is for a language and an engine that are here."""
    for name in ("workflow_url", "workflow_type", "workflow_type_version"):
        if not fields.get(name, "").strip():
            raise BadRequest(f"the field {name} is missing")
    if fields["workflow_type"].strip().upper() != "CWL":
        raise BadRequest(f"workflow_type is {fields['workflow_type'][:100]!r}: this service runs CWL")
    if fields["workflow_type_version"].strip() not in VERSIONS:
        words = f"workflow_type_version is {fields['workflow_type_version'][:100]!r}"
        raise BadRequest(f"{words}: this service runs CWL {', '.join(VERSIONS)}")
    if fields.get("workflow_engine", ENGINE) not in ("", ENGINE):
        raise BadRequest(f"workflow_engine is {fields['workflow_engine'][:100]!r}: the one here is {ENGINE}")
    if fields.get("workflow_engine_version", "") not in ("", engine_version()):
        words = f"workflow_engine_version is {fields['workflow_engine_version'][:100]!r}"
        raise BadRequest(f"{words}: the one here is {engine_version()}")


def _bundle(url: str, files: dict[str, bytes]) -> Bundle:
    if _is_inline(url):
        content = _decoded(url) if url.startswith("data:") else url.encode()
        return Bundle.of({**files, INLINE: content}, INLINE)
    scheme, colon, _ = url.partition(":")
    if colon and "/" not in scheme:
        words = "this service fetches no documents: send it as a workflow_attachment and name it here"
        raise BadRequest(f"workflow_url is {url[:300]!r}: {words}")
    return Bundle.of(files, url)


def _is_inline(url: str) -> bool:
    """Whether it is the document itself, as a data URL, JSON or YAML, and not the name of a file."""
    return "\n" in url or url.startswith(("{", "data:"))


def _decoded(url: str) -> bytes:
    """The content of a data URL (RFC 2397)."""
    header, comma, content = url.partition(",")
    if not comma:
        raise BadRequest("workflow_url is a data: address without a comma")
    if not header.endswith(";base64"):
        return unquote_to_bytes(content)
    try:
        return base64.b64decode(unquote_to_bytes(content), validate=True)
    except binascii.Error as error:
        raise BadRequest(f"workflow_url is a data: address whose base64 is wrong: {error}") from error


async def _files(form: FormData) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for part in form.getlist(FILES):
        if not isinstance(part, UploadFile) or not part.filename:
            raise BadRequest("a workflow_attachment has no file name")
        content = await part.read()
        # The reference client sends the main document once more when it is among the attachments.
        if files.setdefault(part.filename, content) != content:
            raise BadRequest(f"two attachments with different contents are called {part.filename[:300]!r}")
    return files


async def _text(name: str, value: str | UploadFile) -> str:
    content = await value.read() if isinstance(value, UploadFile) else value
    try:
        return content.decode() if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        raise BadRequest(f"{name} is not UTF-8: {error}") from error


def _object(fields: dict[str, str], name: str) -> dict[str, Any]:
    text = fields.get(name, "").strip()
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{name} is not JSON: {error}") from error
    if found is not None and not isinstance(found, dict):
        raise BadRequest(f"{name} is a JSON object, not {text[:100]!r}")
    return found or {}


def _field(description: str, example: str) -> dict[str, str]:
    return {"type": "string", "description": description, "example": example}


_FILE = {"type": "string", "format": "binary"}
_FIELDS = {
    "workflow_url": _field(
        "The main document among the attachments, or the document itself.", "workflow.cwl"
    ),
    "workflow_type": _field("CWL.", "CWL"),
    "workflow_type_version": _field("One of those in service-info.", "v1.2"),
    "workflow_params": _field(
        "The input object as JSON; files by the names of attachments.", '{"points": 1000}'
    ),
    "workflow_engine_parameters": _field("As JSON: those in service-info.", '{"on_error": "continue"}'),
    "workflow_engine": _field("The one in service-info.", ENGINE),
    "workflow_engine_version": _field("The one in service-info.", "0.1.0"),
    "tags": _field("An object of texts as JSON.", '{"sample": "17"}'),
    "workflow_attachment": {
        "type": "array",
        "items": _FILE,
        "description": "Documents and files, their file names being relative paths.",
        "example": ["@workflow.cwl"],
    },
}
_FORM = {
    "type": "object",
    "required": ["workflow_url", "workflow_type", "workflow_type_version"],
    "properties": _FIELDS,
}
OPENAPI = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}
