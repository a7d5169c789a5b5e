"""Whether a document and its inputs can run here, with every complaint at its place in the text."""

from typing import Any

from cwltool.errors import WorkflowException
from cwltool.process import Process, shortname
from ruamel.yaml.error import MarkedYAMLError
from schema_salad.exceptions import ValidationException
from schema_salad.utils import yaml_no_ts

from diracx_tasks.core.errors import InvalidCwl, UnsupportedCwl
from diracx_tasks.cwl import diagnostics
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.evaluate import Evaluation
from diracx_tasks.cwl.graph import graph
from diracx_tasks.cwl.limits import check_text
from diracx_tasks.cwl.load import base_uri, load, walk
from diracx_tasks.cwl.plan import Plan
from diracx_tasks.cwl.values import plain


def loaded(bundle: Bundle) -> Process:
    """The root process; InvalidCwl or UnsupportedCwl with diagnostics when there is none."""
    base = base_uri(bundle)
    document = bundle.entrypoint.partition("#")[0]
    try:
        root = load(bundle)
    except (ValidationException, WorkflowException, ValueError, KeyError, TypeError, AssertionError) as error:
        raise diagnostics.explain(error, base, document) from error
    _refuse_unsupported(root, base)
    return root


def checked(
    root: Process, bundle: Bundle, inputs: dict[str, Any], evaluation: Evaluation
) -> dict[str, Any]:
    """`{"graph", "start"}`: the graph and the root instance with its inputs filled in and checked."""
    base = base_uri(bundle)
    _refuse_missing(root, inputs, base)
    try:
        start = Plan(root, evaluation).start(inputs)
    except (ValidationException, WorkflowException) as error:
        raise _input_error(error, root, base) from error
    return {"graph": graph(root), "start": start}


def parsed_inputs(text: str, name: str = "inputs") -> dict[str, Any]:
    """An input object from YAML or JSON text, within the limits of documents."""
    check_text(name, text.encode())
    try:
        found = plain(yaml_no_ts().load(text))
    except MarkedYAMLError as error:
        raise InvalidCwl(f"{name}: not YAML: {error.problem}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidCwl(f"{name}: an input object is a mapping of input names to values")
    return found


def _refuse_unsupported(root: Process, base: str) -> None:
    # An edited file would have to travel back to every other job that holds it; Toil refuses it as well.
    for process in [root, *(step.embedded_tool for _, step in walk(root))]:
        asked, required = process.get_requirement("InplaceUpdateRequirement")
        if asked and required and asked.get("inplaceUpdate"):
            words = "InplaceUpdateRequirement is not supported: jobs run on different machines"
            place = diagnostics.at(process.tool, "requirements", words, base)
            raise UnsupportedCwl(
                words, [{**place, "advice": "Write a new output file instead of changing an input."}]
            )


def _refuse_missing(root: Process, inputs: dict[str, Any], base: str) -> None:
    found = []
    parameters = root.tool["inputs"]
    for place, parameter in enumerate(parameters):
        name = shortname(parameter["id"])
        optional = "default" in parameter or "null" in _types(parameter["type"])
        if not optional and inputs.get(name) is None and "Any" not in _types(parameter["type"]):
            words = f"the input {name!r} is missing"
            found.append(
                {**diagnostics.at(parameters, place, words, base), "advice": f"Give a value for {name!r}."}
            )
    if found:
        raise InvalidCwl("; ".join(diagnostic["message"] for diagnostic in found), found)


def _types(kind: Any) -> list[Any]:
    return kind if isinstance(kind, list) else [kind]


def _input_error(error: Exception, root: Process, base: str) -> InvalidCwl:
    """The complaint about an input, placed where the document declares that input."""
    words = " ".join(str(error).split())
    parameters = root.tool["inputs"]
    for place, parameter in enumerate(parameters):
        name = shortname(parameter["id"])
        if f"`{name}`" in words or f"'{name}'" in words:
            found = diagnostics.at(parameters, place, words.replace(base, ""), base)
            return InvalidCwl(
                f"the input {name!r} does not fit its type",
                [{**found, "advice": f"Give {name!r} a value of the type declared here."}],
            )
    return diagnostics.explain(error, base, "inputs")
