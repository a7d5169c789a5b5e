"""What a submission sends: a document with all that it refers to, and inputs whose files are in the store."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from ruamel.yaml.error import YAMLError

from diracx_tasks.cli.complaints import PLACES
from diracx_tasks.cli.document_files import Documents
from diracx_tasks.cli.local_files import anchored, parse
from diracx_tasks.cli.secondary import with_secondary
from diracx_tasks.cli.storing import FILE, Storing
from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import BadRequest

# What loadContents may read; of the other files a check only needs the names.
READ_IN_CHECKS = 64 * 1024


def read_submission(
    client: Client, workflow: Path | str, inputs: Path | None, given: Sequence[str], *, is_check: bool = False
) -> dict[str, Any]:
    """The body of a submission of `x.cwl` or `x.cwl#id`. The inputs' files are uploaded.

    In a check only small ones are, and without any inputs only the documents are checked. `given` are further
    inputs as `name=value`.
    Raises InvalidCwl and BadRequest for what cannot be read.
    """
    documents = Documents.of(str(workflow))
    if context := click.get_current_context(silent=True):
        context.meta[PLACES] = documents.places() | ({"inputs": inputs} if inputs else {})
    if is_check and inputs is None and not given:
        return {**documents.body(), "inputs": None}
    storing = Storing(client, READ_IN_CHECKS if is_check else None)
    return {**documents.body(), "inputs": read_values(documents, inputs, given, storing)}


def read_values(
    documents: Documents, inputs: Path | None, given: Sequence[str], storing: Storing
) -> dict[str, Any] | str:
    """The inputs with their files in the store; text that is no mapping as it is."""
    parameters = documents.parameters()
    values = _read_values(inputs, given, parameters)
    if isinstance(values, str):
        return values
    types = documents.types()
    whole = {name: with_secondary(one, (parameters or {}).get(name), types) for name, one in values.items()}
    return storing.store(whole)


def _read_values(
    path: Path | None, given: Sequence[str], parameters: Mapping[str, Any] | None
) -> dict[str, Any] | str:
    """Inputs with absolute paths; the text itself when it is no mapping: the server says what is wrong."""
    text = path.read_text(errors="replace") if path else "{}"
    try:
        found = parse(text)
    except (YAMLError, RecursionError):
        found = text
    if found is not None and not isinstance(found, dict):
        if given:
            raise BadRequest(f"{path} is no mapping of input names to values: --input cannot be added")
        return text
    values: dict[str, Any] = anchored(found or {}, path.absolute().parent if path else Path.cwd())
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise BadRequest(f"--input {one}: write name=value")
        if parameters is not None and name not in parameters:
            raise BadRequest(f"there is no input {name!r}, only {', '.join(parameters) or 'none'}")
        values[name] = anchored(_typed(value, _kinds((parameters or {}).get(name))), Path.cwd())
    return values


def _typed(text: str, kinds: set[str]) -> Any:
    """A value from the command line as its parameter's type wants it."""
    if kinds == {"string"} or (len(kinds) == 1 and kinds <= set(FILE) and not text.startswith("{")):
        return text if kinds == {"string"} else {"class": kinds.pop(), "path": text}
    try:
        value = parse(text)
    except YAMLError as error:
        raise BadRequest(f"--input: {text} is not YAML") from error
    if kinds in ({"array", "File"}, {"array", "Directory"}) and isinstance(value, list):
        kind = (kinds - {"array"}).pop()
        return [{"class": kind, "path": one} if isinstance(one, str) else one for one in value]
    return value


def _kinds(parameter: Any) -> set[str]:
    """The names in a parameter's type, `array` beside the names of items; null is left out."""
    if isinstance(parameter, list):
        return {name for one in parameter for name in _kinds(one)}
    if isinstance(parameter, dict):
        inner = {"enum": "string", "array": parameter.get("items")}.get(str(parameter.get("type")))
        return _kinds(inner or parameter.get("type")) | (
            {"array"} if parameter.get("type") == "array" else set()
        )
    text = str(parameter).removesuffix("?")
    if text.endswith("[]"):
        return _kinds(text.removesuffix("[]")) | {"array"}
    return {text} - {"null", "None"}
