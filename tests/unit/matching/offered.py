"""Whether a node meets what a job asks for, as the words about waiting jobs know of both."""

import json
from typing import Any

from diracx_tasks.matching import seen
from diracx_tasks.matching.node import Node
from diracx_tasks.matching.seen import Seen, Who, conditions
from diracx_tasks.matching.specification import Specification

ALICE = Who("User", "lhcb_user", "alice")


def offered(node: Node) -> Seen:
    """A node as it is known once it has asked for work."""
    name, text = node.kind()
    terms = json.loads(text)
    return Seen(name, terms, frozenset(terms["tags"]), 0.0)


def fits(spec: Specification, node: Node) -> bool:
    """Whether a node can run a job of alice's."""
    return seen.fits(conditions(spec, ALICE), offered(node))


def unmet(spec: Specification, node: Node) -> list[tuple[str, Any, Any]]:
    """Every condition of a job of alice's that a node does not meet: its name, what is wanted and offered."""
    one = offered(node)
    found = [condition for condition in conditions(spec, ALICE) if not condition.holds(one)]
    return [(each.name, each.wanted, each.told(one.offer(each.name))) for each in found]
