"""What the address of a list says of what is shown, and of which part of it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

from pydantic import BaseModel, Field

from diracx_api.models.fields import LARGEST
from diracx_tasks.core import search

# Which part of the list it is, not what is in it.
PAGES = {"before", "after"}
Row = TypeVar("Row")


class Filters(BaseModel):
    """Filters that may be set; `columns` are the search's names of those that it knows."""

    columns: ClassVar[Mapping[str, str]] = {}

    @property
    def stated(self) -> dict[str, str]:
        """Those that are set, as the address has them."""
        found = self.model_dump(exclude=PAGES)
        return {name: "true" if value is True else value for name, value in found.items() if value}

    def conditions(self, *without: str) -> list[dict[str, Any]]:
        """As a search has them, leaving some out."""
        return [
            {"parameter": self.columns[name], "operator": "eq", "value": value}
            for name, value in self.stated.items()
            if name in self.columns and name not in without
        ]


class Turn(NamedTuple):
    """The rows of a page, and the numbers that lead to those before and after it; None: there are none."""

    rows: Sequence[Any]
    newer: int | None
    older: int | None


class Newest(Filters):
    """Filters of a list that begins with the newest row; its parts begin at the number of one that was seen.

    What is added meanwhile moves nothing from one page to another, and deep pages cost what the first does.
    """

    before: int | None = Field(None, ge=0, le=LARGEST)
    after: int | None = Field(None, ge=0, le=LARGEST)

    def query(self, key: str, parameters: Collection[str], limit: int) -> search.Query:
        """The search for a page of `limit` rows, and one more, which says whether there is a further page."""
        operator, number = ("gt", self.after) if self.after is not None else ("lt", self.before)
        place = [] if number is None else [{"parameter": key, "operator": operator, "value": number}]
        return search.Query(
            parameters=parameters,
            conditions=[*self.conditions(), *place],
            sort=[{"parameter": key, "direction": "asc" if operator == "gt" else "desc"}],
            per_page=limit + 1,
            is_counted=False,
        )

    def turn(self, found: Sequence[Row], number: Callable[[Row], int], limit: int) -> Turn:
        """The page, newest first, of what was found from `before` downwards or from `after` upwards."""
        is_more = len(found) > limit
        rows = found[:limit] if self.after is None else found[:limit][::-1]
        has_newer = is_more if self.after is not None else self.before is not None
        has_older = is_more or self.after is not None
        return Turn(
            rows,
            number(rows[0]) if rows and has_newer else None,
            number(rows[-1]) if rows and has_older else None,
        )
