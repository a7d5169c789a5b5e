"""How a field of a model is documented: what it means, and an example."""

from typing import Any

from pydantic import Field


def stated(description: str, example: Any, **options: Any) -> Any:
    """A pydantic field with a description and an example."""
    return Field(description=description, examples=[example], **options)
