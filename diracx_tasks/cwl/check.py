"""Whether a document and its inputs can run here, with every complaint at its place in the text."""

from collections.abc import Iterator
from typing import Any

from cwltool.errors import WorkflowException
from cwltool.process import Process, shortname
from cwltool.update import ORIGINAL_CWLVERSION
from cwltool.utils import aslist
from schema_salad.exceptions import ValidationException

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl import diagnostics, hints, inputs, overrides, unsupported
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.diagnostics import Diagnostic
from diracx_tasks.cwl.evaluate import Evaluation
from diracx_tasks.cwl.graph import graph
from diracx_tasks.cwl.load import base_uri, load, steps, walk
from diracx_tasks.cwl.phrases import SEND
from diracx_tasks.cwl.places import Places
from diracx_tasks.cwl.plan import Plan
from diracx_tasks.cwl.ports import ports
from diracx_tasks.cwl.values import FILES

# Of the names of nested steps with `/` between them.
MAX_PATH = 255


def loaded(bundle: Bundle, moved: overrides.Overrides | None = None) -> Process:
    """The root process; InvalidCwl or UnsupportedCwl with diagnostics when there is none.

    `moved` are requirements that do not stand in the bundle yet, see `overrides`.
    """
    base = base_uri(bundle)
    try:
        root = load(bundle, moved=moved)
    except RecursionError as error:
        raise _too_deep(bundle) from error
    except MemoryError:
        raise
    except StopIteration as error:
        raise InvalidCwl("a document of the workflow is empty") from error
    except Exception as error:
        raise diagnostics.explain(error, base, bundle.entrypoint, Places(bundle)) from error
    unsupported.refuse(_processes(root), base)
    _refuse(
        [*_long_paths(root, base), *_unrequired(root, base), *_addresses(root, base), *_hints(root, base)]
    )
    return root


def checked(root: Process, bundle: Bundle, given: dict[str, Any], evaluation: Evaluation) -> dict[str, Any]:
    """`{"graph", "start", "warnings", "added"}`: `start` is the root instance, its inputs filled in.

    `added` are files, by their names, that the bundle needs from now on: `Bundle.extended` adds them.
    """
    base = base_uri(bundle)
    given, moved = overrides.split(given)
    if moved:
        _refuse(_requirements_of_v1_0(root, moved))
        root = loaded(bundle, moved)
    inputs.refuse_missing(root, given, base)
    try:
        start = Plan(root, evaluation).start(given)
    except (ValidationException, WorkflowException, KeyError) as error:
        # A KeyError comes from cwltool's own words about a wrong format in an array.
        raise inputs.explained(error, root, base) from error
    inputs.refuse_absent_files(root, start["inputs"], set(bundle.files), base)
    added = overrides.stored(moved) if moved else {}
    return {
        "graph": {**graph(root), **ports(root)},
        "start": start,
        "warnings": inputs.unknown(root, given),
        "added": added,
    }


def _requirements_of_v1_0(root: Process, moved: overrides.Overrides) -> list[Diagnostic]:
    if overrides.ROOT not in moved or root.metadata.get(ORIGINAL_CWLVERSION) != "v1.0":
        return []
    words = "`cwl:requirements` among the inputs of a document of CWL v1.0: they came with v1.1"
    advice = "Write them into the document, or give `cwltool:overrides`."
    place = {"severity": "error", "file": "inputs", "line": None, "column": None}
    return [{**place, "message": words, "advice": advice}]


def _refuse(found: list[Diagnostic]) -> None:
    if found:
        raise InvalidCwl(diagnostics.headline(found[0]), found[: diagnostics.MOST])


def _processes(root: Process) -> list[Process]:
    return [root, *(step.embedded_tool for _, step in walk(root))]


def _long_paths(root: Process, base: str) -> Iterator[Diagnostic]:
    """Steps whose names, with those of the steps around them, are longer than a path may be."""
    for path, step in walk(root):
        if len(path) > MAX_PATH:
            words = f"the path of this step has {len(path)} characters, more than {MAX_PATH}: {path[:40]}…"
            advice = "Give steps shorter names, or nest workflows less deeply."
            yield {**diagnostics.at(step.tool, "id", words, base), "advice": advice}
            return


def _unrequired(root: Process, base: str) -> Iterator[Diagnostic]:
    """Features of steps whose requirement is missing, which cwltool notices only when the step is made."""
    for process in _processes(root):
        for step in steps(process).values():
            yield from _without(process, step.tool["in"], base)
            yield from _without(step, step.tool.get("loop") or [], base)


def _without(process: Process, parameters: Any, base: str) -> Iterator[Diagnostic]:
    for place, one in enumerate(parameters):
        for feature, requirement in _features(one):
            if not process.get_requirement(requirement)[0]:
                words = f"'{shortname(one['id'])}': {feature} needs {requirement}"
                advice = f"Add `{requirement}: {{}}` under the workflow's `requirements`."
                yield {**diagnostics.at(parameters, place, words, base), "advice": advice}


def _features(parameter: Any) -> Iterator[tuple[str, str]]:
    if len(aslist(parameter.get("source", parameter.get("outputSource", [])))) > 1:
        yield "more than one source", "MultipleInputFeatureRequirement"
    if "valueFrom" in parameter:
        yield "valueFrom", "StepInputExpressionRequirement"


def _addresses(root: Process, base: str) -> Iterator[Diagnostic]:
    """Default files outside the bundle."""
    for process in _processes(root):
        declared = [one for step in steps(process).values() for one in step.tool["in"]]
        for parameter in [*process.tool["inputs"], *declared]:
            for file in _files(parameter.get("default")):
                location = str(file.get("location", "_:"))
                if not location.startswith((base, "_:", "sandbox:", "lfn:")):
                    words = f"default: '{location}' is not among the files sent with the workflow"
                    yield {**diagnostics.at(file, "location", words, base), "advice": SEND}


def _hints(root: Process, base: str) -> Iterator[Diagnostic]:
    for process in _processes(root):
        for hint, key, words in hints.faults(process):
            advice = "See the fields of the `dirac:Job` hint."
            yield {**diagnostics.at(hint, key, words, base), "advice": advice}


def _files(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if value.get("class") in FILES:
            yield value
        for inner in value.values():
            yield from _files(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _files(inner)


def _too_deep(bundle: Bundle) -> InvalidCwl:
    """The documents of endless depth: at a `run` that leads back, if one does."""
    words = "the documents are nested too deeply"
    file, line, column = bundle.entrypoint.partition("#")[0], None, None
    if place := Places(bundle).of_circle():
        words = "the documents refer to each other in a circle: a workflow cannot contain itself"
        file, line, column = place
    found = {"severity": "error", "file": file, "line": line, "column": column, "message": words}
    found["advice"] = "Let `run` name another document; repetition is `scatter`."
    return InvalidCwl(diagnostics.headline(found), [found])
