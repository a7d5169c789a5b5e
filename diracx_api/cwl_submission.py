"""The body of a submission of jobs that run a CWL process, JSON or multipart."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.datastructures import FormData

from diracx_api.models.cwl_jobs import CwlJobs
from diracx_api.submission import FORM as WORKFLOW
from diracx_api.submission import files_of, in_words, is_form
from diracx_tasks.cwl.bundle import MAX_BYTES, MAX_FILES, Bundle

FIELDS = ("main", "name", "range")


@dataclass(frozen=True)
class SentJobs:
    """What was sent: the files, the inputs as mappings or YAML texts, and the range."""

    bundle: Bundle
    inputs: list[dict[str, Any] | str]
    range: str | None
    name: str


async def sent(request: Request) -> SentJobs:
    """What the body holds; BadRequest or InvalidCwl when it is no submission."""
    with in_words():
        if is_form(request):
            async with request.form(max_files=MAX_FILES, max_part_size=MAX_BYTES) as form:
                return await _from_form(form)
        body = CwlJobs.model_validate_json(await request.body())
    bundle = Bundle.from_json({"entrypoint": body.main, "files": body.files})
    inputs = body.inputs if isinstance(body.inputs, list) else [body.inputs or {}]
    return SentJobs(bundle, inputs, body.range, body.name)


SentJobsBody = Annotated[SentJobs, Depends(sent)]


async def _from_form(form: FormData) -> SentJobs:
    files = await files_of(form)
    fields = {name: str(form[name]) for name in FIELDS if name in form}
    given = form.getlist("inputs")
    texts = [one if isinstance(one, str) else (await one.read()).decode(errors="replace") for one in given]
    bundle = Bundle.of(files, fields.get("main") or next(iter(files), ""))
    return SentJobs(bundle, [*texts] or [{}], fields.get("range"), fields.get("name", "")[:128])


_INPUTS = {
    "type": "array",
    "items": {"type": "string"},
    "example": ["points: 1000", "points: 2000"],
    "description": "YAML or JSON texts, or files; each makes a job.",
}
_RANGE = {"type": "string", "description": "As in JSON.", "example": "seed=0:10"}
FORM: dict[str, Any] = {**WORKFLOW}
FORM["properties"] = {**FORM["properties"], "inputs": _INPUTS, "range": _RANGE}
# FastAPI cannot describe a body that comes in two shapes.
OPENAPI = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": CwlJobs.model_json_schema()},
            "multipart/form-data": {"schema": FORM},
        },
    }
}
