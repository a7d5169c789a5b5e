"""What goes in and comes out of the routes about documents, drawings and provenance."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from diracx_api.models.fields import stated


class GraphFormat(StrEnum):
    """How a graph is given."""

    JSON = "json"
    SVG = "svg"
    DOT = "dot"


class CrateFormat(StrEnum):
    """How a crate is given."""

    ZIP = "zip"
    JSON = "json"


class Template(BaseModel):
    """An inputs file to be filled in."""

    inputs: str = stated(
        "YAML with a placeholder for each input that is needed; the others stand there as comments.",
        "# int, the default is\n# points: 1000\n\n# int[]\nseeds:\n- 0\n",
    )


class CrateMetadata(BaseModel):
    """An RO-Crate's ro-crate-metadata.json."""

    context: list[str] = stated(
        "What the words mean.", ["https://w3id.org/ro/crate/1.1/context"], alias="@context"
    )
    graph: list[dict[str, Any]] = stated("All entities.", [{"@id": "./", "@type": "Dataset"}], alias="@graph")
