"""Requirements that stand in the input object: they become a file of the bundle, and so every job sees them.

CWL v1.2, section "Requirements and hints": `cwl:requirements` are requirements of the process itself, the
most specific ones. `cwltool:overrides`, an extension, has them by the process or step that they are for.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin

from cwltool.context import LoadingContext
from cwltool.errors import WorkflowException
from cwltool.load_tool import load_tool
from schema_salad.exceptions import SchemaSaladException

from diracx_tasks.core.errors import InvalidCwl, UnsupportedCwl
from diracx_tasks.cwl import diagnostics
from diracx_tasks.cwl.bundle import Bundle

FILE = ".cwl-requirements.json"
REQUIREMENTS = ("cwl:requirements", "https://w3id.org/cwl/cwl#requirements")
OVERRIDES = ("cwltool:overrides", "http://commonwl.org/cwltool#overrides")
# The target that means the process itself.
ROOT = ""
NAMESPACES = {"cwl": "https://w3id.org/cwl/cwl#", "cwltool": "http://commonwl.org/cwltool#"}
PLACE = {"file": "inputs", "line": None, "column": None}
NO_CLASS = "there is no class"
ADVICE = "Write it as under `requirements` of a document."

Overrides = dict[str, Any]


def split(inputs: dict[str, Any]) -> tuple[dict[str, Any], Overrides]:
    """The inputs alone, and the requirements among them by their target: relative to the main document.

    Raises InvalidCwl when they have not the form of overrides.
    """
    found: Overrides = {}
    for key in (one for one in OVERRIDES if one in inputs):
        found |= _targets(inputs[key])
    for key in (one for one in REQUIREMENTS if one in inputs):
        found[ROOT] = inputs[key]
    return {key: inputs[key] for key in inputs if key not in (*REQUIREMENTS, *OVERRIDES)}, found


def stored(overrides: Overrides) -> dict[str, str]:
    """The file, by its name, that carries them in a bundle."""
    return {FILE: json.dumps(overrides, sort_keys=True)}


def of(bundle: Bundle) -> Overrides:
    """What a bundle carries; InvalidCwl if its file has another form."""
    if FILE not in bundle.files:
        return {}
    try:
        found = json.loads(bundle.files[FILE])
    except ValueError as error:
        raise InvalidCwl(f"{FILE} is not JSON: {error}") from error
    return _targets({target: {"requirements": asked} for target, asked in _mapping(found).items()})


def listed(overrides: Overrides, root: str, base: str, context: LoadingContext) -> list[dict[str, Any]]:
    """As cwltool's `overrides_list` wants them, checked by CWL's schema; `root` is the process's URI."""
    return list(_listed(overrides, root, base, context))


def _listed(overrides: Overrides, root: str, base: str, context: LoadingContext) -> Iterator[dict[str, Any]]:
    for number, (target, asked) in enumerate(overrides.items()):
        requirements = _checked(asked, f"{base}{FILE}#{number}", base, context)
        if target != ROOT:
            yield {"overrideTarget": urljoin(root, target), "requirements": requirements}
            continue
        # Of a document with `$graph` the process `main` is meant.
        for one in (root, f"{root}#main"):
            yield {"overrideTarget": one, "requirements": requirements}


def _checked(asked: Any, uri: str, base: str, context: LoadingContext) -> Any:
    """Requirements as those of a document: of a workflow that does nothing."""
    document = {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "id": uri,
        "$namespaces": NAMESPACES,
        **{field: [] for field in ("inputs", "outputs", "steps")},
        "requirements": asked,
    }
    try:
        return load_tool(document, context.copy()).tool["requirements"]
    except (SchemaSaladException, WorkflowException) as error:
        raise _explained(error, base) from error


def _explained(error: Exception, base: str) -> InvalidCwl:
    found = diagnostics.explain(error, base, "inputs")
    kind, told = type(found), []
    for one in found.diagnostics:
        message = str(one["message"])
        if message.startswith(NO_CLASS):
            kind, message = UnsupportedCwl, message.replace(NO_CLASS, "there is no requirement", 1)
        told.append({**one, **PLACE, "message": f"{REQUIREMENTS[0]}: {message}"})
    return kind(diagnostics.headline(told[0]), told)


def _targets(given: Any) -> Overrides:
    found: Overrides = {}
    for target, one in _mapping(given).items():
        if not isinstance(one, Mapping) or "requirements" not in one:
            raise _wrong(f"the override of {str(target)[:100]!r} has no `requirements`")
        found[str(target)] = one["requirements"]
    return found


def _mapping(given: Any) -> Mapping[Any, Any]:
    if not isinstance(given, Mapping):
        raise _wrong("overrides are a mapping of processes to `{requirements: ...}`")
    return given


def _wrong(words: str) -> InvalidCwl:
    return InvalidCwl(words, [{"severity": "error", **PLACE, "message": words, "advice": ADVICE}])
