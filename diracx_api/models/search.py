"""What DiracX's searches and summaries take; attributes have DIRAC's names."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from diracx_api.models.fields import LARGEST, stated

Integer = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
Name = Annotated[str, Field(max_length=64)]
Text = Annotated[str, Field(max_length=1024)]
# How many values and conditions one search may have.
VALUES = 10_000
CONDITIONS = 50


class Condition(BaseModel):
    """One condition of a search."""

    parameter: Name = stated("An attribute.", "Status")
    operator: Literal["eq", "neq", "gt", "lt", "like", "not like", "regex", "in", "not in"] = stated(
        "How to compare.", "eq"
    )
    value: Text | Integer | None = stated("What to compare with.", "Done", default=None)
    values: Annotated[list[Text] | list[Integer] | None, Field(max_length=VALUES)] = stated(
        "For `in` and `not in`.", ["Done", "Failed"], default=None
    )


class Order(BaseModel):
    """One sorting criterion."""

    parameter: Name = stated("An attribute.", "JobID")
    direction: Literal["asc", "desc"] = stated("Which way.", "desc")


class Search(BaseModel):
    """Which rows, which of their attributes, in which order."""

    parameters: list[Name] | None = stated(
        "Attributes wanted; all by default.", ["JobID", "Status"], default=None, max_length=100
    )
    search: list[Condition] = stated("Conditions that all must hold.", [], default=[], max_length=CONDITIONS)
    sort: list[Order] = stated("Sorting criteria, first one first.", [], default=[], max_length=10)
    distinct: bool = stated("Each combination of the attributes once.", False, default=False)


class Summary(BaseModel):
    """What to count by."""

    grouping: list[Name] = stated("Attributes whose combinations are counted.", ["Status"], max_length=100)
    search: list[Condition] = stated("Conditions that all must hold.", [], default=[], max_length=CONDITIONS)


def plain(conditions: list[Condition]) -> list[dict[str, Any]]:
    """The conditions as verbs take them."""
    return [one.model_dump() for one in conditions]
