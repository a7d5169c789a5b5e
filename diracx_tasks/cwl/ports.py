"""The inputs and outputs of a workflow with the steps that take and give them: what a graph lacks."""

from typing import Any

from cwltool.process import Process, shortname
from cwltool.utils import aslist

from diracx_tasks.cwl.graph import kind_of
from diracx_tasks.cwl.load import steps


def ports(root: Process) -> dict[str, Any]:
    """`{"inputs": [{name, type, to}], "outputs": [{name, type, from}]}`.

    `to` and `from` are paths of steps, '' for a root that is one node; an output that is an input's own
    value is from `<name`.
    """
    is_one = kind_of(root) != "workflow"
    taken = {} if is_one else _taken(root)
    given = [(shortname(one["id"]), one) for one in root.tool["outputs"]]
    names = {shortname(one["id"]) for one in root.tool["inputs"]}
    return {
        "inputs": [
            {"name": name, "type": type_words(one["type"]), "to": [""] if is_one else taken.get(name, [])}
            for name, one in ((shortname(one["id"]), one) for one in declared(root))
        ],
        "outputs": [
            {
                "name": name,
                "type": type_words(one["type"]),
                "from": [""] if is_one else _from(one, root, names),
            }
            for name, one in given
        ],
    }


def declared(root: Process) -> list[Any]:
    """The input parameters in the order of the document: schema-salad sorts them by their names."""
    inputs = root.tool["inputs"]

    def place(number: int) -> tuple[int, ...]:
        try:
            return tuple(inputs.lc.item(number))
        except (AttributeError, KeyError, TypeError, IndexError):
            return (0, 0)

    return [inputs[number] for number in sorted(range(len(inputs)), key=place)]


def type_words(kind: Any) -> str:
    """A type as people write it in documents: `int?`, `File[]`, `enum`, `int | string`."""
    if isinstance(kind, list):
        names = [type_words(one) for one in kind if one != "null"]
        return " | ".join(names) + "?" * (len(names) < len(kind)) if names else "null"
    if not hasattr(kind, "get"):
        return str(kind).rpartition("#")[2].rpartition("/")[2]
    if kind["type"] == "array":
        inner = type_words(kind["items"])
        return f"({inner})[]" if isinstance(kind["items"], list) and " | " in inner else f"{inner}[]"
    if kind["type"] in ("enum", "record"):
        return (
            shortname(kind["name"])
            if "name" in kind and not str(kind["name"]).startswith("_:")
            else kind["type"]
        )
    return type_words(kind["type"])


def _taken(root: Process) -> dict[str, list[str]]:
    """The steps that take each input."""
    found: dict[str, list[str]] = {}
    for name, step in sorted(steps(root).items()):
        own = step.tool["id"].rpartition("#")[2].split("/")
        for parameter in step.tool["in"]:
            for source in aslist(parameter.get("source", [])):
                parts = source.rpartition("#")[2].split("/")
                # `#main/words` beside the step `#main/sort`: as many parts mean an input of the workflow.
                if len(parts) <= len(own) and name not in found.setdefault(parts[-1], []):
                    found[parts[-1]].append(name)
    return found


def _from(output: Any, root: Process, inputs: set[str]) -> list[str]:
    known = steps(root)
    found = []
    for source in aslist(output.get("outputSource", [])):
        parts = source.rpartition("#")[2].split("/")
        step = parts[-2] if len(parts) > 1 else ""
        if step in known:
            found.append(step)
        elif parts[-1] in inputs:
            found.append(f"<{parts[-1]}")
    return list(dict.fromkeys(found))
