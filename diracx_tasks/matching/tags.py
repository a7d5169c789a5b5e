"""Whether what a node offers meets an expression over tags; how one is written says `cwl/tags.py`."""

from collections.abc import Collection

from diracx_tasks.cwl.tags import InvalidTags, Tree, all_of, conjuncts, names_in, parse, render

__all__ = ["InvalidTags", "Tree", "all_of", "conjuncts", "demanded", "holds", "names_in", "parse", "render"]


def holds(tree: Tree, offered: Collection[str]) -> bool:
    """Whether a node that offers these tags meets the expression."""
    if isinstance(tree, str):
        return tree in offered
    operator, *parts = tree
    if operator == "~":
        return parts[0] not in offered
    return (all if operator == "&" else any)(holds(part, offered) for part in parts)


def demanded(tree: Tree | None) -> list[str]:
    """The names that every node must offer which meets the expression, as far as they stand alone."""
    return [part for part in conjuncts(tree) if isinstance(part, str)]
