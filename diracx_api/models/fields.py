"""How a field of a model is documented: what it means, and an example."""

from typing import Annotated, Any

from fastapi import Path
from pydantic import Field


def stated(description: str, example: Any, **options: Any) -> Any:
    """A pydantic field with a description and an example."""
    return Field(description=description, examples=[example], **options)


LARGEST = 2**63 - 1
JobId = Annotated[int, Path(ge=0, le=LARGEST, description="The job's number.", examples=[17])]
WorkflowId = Annotated[int, Path(ge=0, le=LARGEST, description="The workflow's number.", examples=[42])]


def unlike(kind: dict[str, Any], words: str) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: its 422 is of this kind of `detail`, or FastAPI's list."""
    either = [kind, {"type": "array", "items": {"type": "object"}}]
    schema = {"type": "object", "required": ["detail"], "properties": {"detail": {"anyOf": either}}}
    return {422: {"description": words, "content": {"application/json": {"schema": schema}}}}
