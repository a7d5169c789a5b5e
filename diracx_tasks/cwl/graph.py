"""A workflow as nodes and edges: steps, not jobs, so that a million elements stay one node."""

from typing import Any

from cwltool.process import Process, shortname

from diracx_tasks.cwl.hints import effective, is_one_job
from diracx_tasks.cwl.load import steps, walk

KINDS = {"Workflow": "workflow", "ExpressionTool": "expression"}


def kind_of(process: Process) -> str:
    """`tool`, `workflow` or `expression`."""
    kind = KINDS.get(process.tool["class"], "tool")
    is_one = kind == "workflow" and (is_one_job(process) or _shares_files(process))
    return "tool" if is_one else kind


def _shares_files(workflow: Process) -> bool:
    """Whether a tool of a workflow changes files in place: then its steps must see the same files."""
    return any(_edits(step.embedded_tool) for step in steps(workflow).values())


def _edits(tool: Process) -> bool:
    if tool.tool["class"] != "CommandLineTool":
        return False
    asked, is_required = tool.get_requirement("InplaceUpdateRequirement")
    return bool(asked and is_required and asked["inplaceUpdate"])


def graph(root: Process) -> dict[str, Any]:
    """`{"nodes": [{path, name, kind, parent, scatter, loop, hints}], "edges": [{from, to}]}` of the tree.

    A root that is no workflow, or that runs as one job, is one node with the path ''.
    """
    if kind_of(root) != "workflow":
        name = shortname(root.tool.get("id", "main")) or "main"
        return {"nodes": [_node("", name, root)], "edges": []}
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, str]] = []
    hidden: tuple[str, ...] = ()
    for path, step in walk(root):
        if path.startswith(hidden) and hidden:
            continue
        node = _node(path, path.rpartition("/")[2], step.embedded_tool)
        if node["kind"] == "tool":
            hidden = (*hidden, path + "/")
        nodes.append({**node, "scatter": "scatter" in step.tool, "loop": bool(step.tool.get("loop"))})
        edges.extend({"from": source, "to": path} for source in _sources(step.tool, path))
    return {"nodes": nodes, "edges": edges}


def _node(path: str, name: str, process: Process) -> dict[str, Any]:
    kind = kind_of(process)
    place = {"path": path, "name": name, "parent": path.rpartition("/")[0]}
    hints = effective(process) if kind == "tool" else {}
    return {**place, "kind": kind, "scatter": False, "loop": False, "hints": hints}


def _sources(step: dict[str, Any], path: str) -> list[str]:
    """The sibling steps that a step takes values from."""
    above = path.rpartition("/")[0]
    found: set[str] = set()
    for parameter in step["in"]:
        sources = parameter.get("source", [])
        for source in [sources] if isinstance(sources, str) else sources:
            parts = source.rpartition("#")[2].split("/")
            own = step["id"].rpartition("#")[2].split("/")
            # `#main/align/out` beside the step `#main/sort`: one part more means another step's output.
            if len(parts) > len(own):
                sibling = parts[len(own) - 1]
                found.add(f"{above}/{sibling}" if above else sibling)
    return sorted(found)
