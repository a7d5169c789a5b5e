"""Whether a node can run what a job asks for, and every condition that it does not meet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diracx_tasks.matching.tags import holds, render

if TYPE_CHECKING:
    from diracx_tasks.matching.node import Node
    from diracx_tasks.matching.specification import Specification


@dataclass(frozen=True, slots=True)
class Miss:
    """A condition that a node does not meet.

    `dim` is one of the terms', or `banned_site` (wanted: not these), `tags` (wanted: the expression),
    `required_tags` (offered: tags that the node asks of jobs and this one lacks). Offered None: not said.
    """

    dim: str
    wanted: Any
    offered: Any


def fits(spec: "Specification", node: "Node | Mapping[str, Any]") -> bool:
    """Whether a node, or one of which only the terms are known, can run it."""
    return not misses(spec, node)


def misses(spec: "Specification", node: "Node | Mapping[str, Any]") -> list[Miss]:
    """Every condition that a node, or one of which only the terms are known, does not meet."""
    wants, offers = spec.terms(), node if isinstance(node, Mapping) else node.terms()
    values, numbers = offers["is"], offers["has"]
    found = [
        Miss(dimension, wanted, values.get(dimension))
        for dimension, wanted in wants["one_of"].items()
        if values.get(dimension) not in wanted
    ]
    if values.get("site") in wants["none_of"]:
        found.append(Miss("banned_site", wants["none_of"], values["site"]))
    found += [
        Miss(dimension, wanted, numbers.get(dimension))
        for dimension, wanted in wants["least"].items()
        if numbers.get(dimension) is None or numbers[dimension] < wanted
    ]
    if spec.tags is not None and not holds(spec.tags, set(offers["tags"])):
        found.append(Miss("tags", render(spec.tags), offers["tags"]))
    if lacking := sorted(set(offers["requires"]).difference(wants["demands"])):
        found.append(Miss("required_tags", wants["demands"], lacking))
    return found
