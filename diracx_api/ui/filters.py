"""What the address of a list says of what is shown."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel

# Which part of the list it is, not what is in it.
PAGES = {"page", "before", "after"}


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
