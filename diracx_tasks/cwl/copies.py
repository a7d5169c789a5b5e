"""Copies of long lists in a document, in a time that grows with their length and not with its square."""

import copy
from typing import Any

from ruamel.yaml.comments import CommentedSeq


def install() -> None:
    """Have lists copied in one go: ruamel (0.19) copies the lines of all items again for each item."""
    setattr(CommentedSeq, "__deepcopy__", _copied)  # noqa: B010 - mypy: a method


def _copied(self: CommentedSeq, memo: dict[int, Any]) -> CommentedSeq:
    found = self.__class__()
    memo[id(self)] = found
    for item in self:
        found.append(copy.deepcopy(item, memo))
    self.copy_attributes(found, memo=memo)
    return found
