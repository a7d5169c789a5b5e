"""The body of a submission, JSON or multipart, as a bundle and its inputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from diracx_api.models.fields import unlike
from diracx_api.models.workflows import Running, Submission
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.cwl.bundle import MAX_BYTES, MAX_FILES, Bundle
from diracx_tasks.workflows.submit import DEFAULTS, Options

FIELDS = ("main", "inputs", "name", *Running.model_fields)


@dataclass(frozen=True)
class Sent:
    """What was sent: the files, and the inputs as a mapping or as YAML text."""

    bundle: Bundle
    inputs: dict[str, Any] | str | None
    name: str
    options: Options = DEFAULTS


async def sent(request: Request) -> Sent:
    """What the body holds; BadRequest or InvalidCwl when it is no submission."""
    with in_words():
        if is_form(request):
            return await _from_form(request)
        body = Submission.model_validate_json(await request.body())
    bundle = Bundle.from_json({"entrypoint": body.main, "files": body.files})
    return Sent(bundle, body.inputs, body.name, Options(body.on_error, body.reuse, body.retries))


@contextmanager
def in_words() -> Iterator[None]:
    """What pydantic finds wrong with a submission, as one line."""
    try:
        yield
    except ValidationError as error:
        words = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise BadRequest(f"not a submission: {words}") from error


def is_form(request: Request) -> bool:
    """Whether the body is multipart, not JSON."""
    return request.headers.get("content-type", "").startswith("multipart/")


async def files_of(form: FormData) -> dict[str, bytes]:
    """The documents of a form by their names."""
    parts = [part for part in form.getlist("files") if isinstance(part, UploadFile)]
    return {part.filename or "workflow.cwl": await part.read() for part in parts}


SentBody = Annotated[Sent, Depends(sent)]


async def _from_form(request: Request) -> Sent:
    async with request.form(max_files=MAX_FILES, max_part_size=MAX_BYTES) as form:
        files = await files_of(form)
        fields = {name: str(form[name]) for name in FIELDS if name in form}
    stated = Running.model_validate({name: fields[name] for name in Running.model_fields if name in fields})
    main = fields.get("main") or next(iter(files), "")
    options = Options(stated.on_error, stated.reuse, stated.retries)
    return Sent(Bundle.of(files, main), fields.get("inputs"), fields.get("name", "")[:128], options)


FORM = {
    "type": "object",
    "required": ["files"],
    "properties": {
        "main": {
            "type": "string",
            "description": "As in JSON; the first file by default.",
            "example": "workflow.cwl",
        },
        "name": {"type": "string", "description": "As in JSON.", "example": "pi"},
        "inputs": {"type": "string", "description": "YAML or JSON text.", "example": "points: 1000"},
        **Running.model_json_schema()["properties"],
        "files": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "example": ["@workflow.cwl"],
            "description": "The documents, with their relative paths as file names.",
        },
    },
}
# FastAPI cannot describe a body that comes in two shapes.
OPENAPI = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": Submission.model_json_schema()},
            "multipart/form-data": {"schema": FORM},
        },
    }
}
# A document or its inputs that are wrong, or a header: the second is FastAPI's own.
WRONG = unlike({"type": "object"}, "What is wrong, where it stands, and what to do.")
